"""The tools: what they write, what they leave out, what they refuse."""

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

pytest.importorskip("pyspark")

from minicaffe.data.database import create_database
from minicaffe.data.sample_key import SampleKey, read_sample_key
from minicaffe.data.sequence_file import SequenceFileReader
from minicaffe.data.source import open_source
from minicaffe.distributed.spark import Config, submit
from minicaffe.distributed.spark.forward_report import left_out
from minicaffe.distributed.spark.tools import DFConversions, Vocab, conversions, main, open_tool
from minicaffe.distributed.spark.tools import vocab as words
from minicaffe.distributed.spark.tools.binary2dataframe import Binary2DataFrame
from minicaffe.distributed.spark.tools.binary2sequence import Binary2Sequence
from minicaffe.distributed.spark.tools.df_conversions import captions_table
from minicaffe.distributed.spark.tools.tool import known_tools
from minicaffe.errors import ClusterError, DataError
from minicaffe.machine.java import find_java
from minicaffe.proto import minicaffe_pb2 as pb
from tests.conftest import CHECKOUT
from tests.spark_cluster import SmallSet, spark_context

pytestmark = pytest.mark.xdist_group("spark")

CAPTIONS = {3: "A Blue, and white bathroom.", 2: "a view of a kitchen: a view, a view"}
SIZES = {67: (5, 4), 126: (3, 7)}  # picture -> height, width


@pytest.fixture(scope="module")
def session() -> Iterator[Any]:
    with spark_context("local[2]"):
        from pyspark.sql import SparkSession

        yield SparkSession.builder.getOrCreate()


@pytest.fixture
def pictures(tmp_path: Path) -> Path:
    """A folder with 67.jpg and 126.jpg, a name with a blank, and a file of 0 bytes."""
    folder = tmp_path / "pictures"
    folder.mkdir()
    for number in SIZES:
        (folder / f"{number}.jpg").write_bytes(bytes(range(number)) + b"\xff\x80")
    (folder / "a b.jpg").write_bytes(b"ab")
    (folder / "empty.jpg").write_bytes(b"")
    return folder


@pytest.fixture
def coco(tmp_path: Path) -> Path:
    """Two pictures with a caption each, in COCO's form."""
    images = [
        {"id": i, "file_name": f"{i}.jpg", "height": h, "width": w,
         "flickr_url": f"f{i}", "coco_url": f"c{i}"}
        for i, (h, w) in SIZES.items()
    ]  # fmt: skip
    notes = [{"image_id": i, "id": n, "caption": CAPTIONS[n]} for i, n in ((126, 3), (67, 2))]
    (tmp_path / "coco.json").write_text(json.dumps({"images": images, "annotations": notes}))
    (tmp_path / "images.json").write_text(json.dumps({"images": images}, indent=1))
    return tmp_path / "coco.json"


def run(session: Any, tool: str, *args: Any) -> None:
    conf = Config(session, [str(word) for word in args])
    open_tool(tool)(session, conf).run()


# --- pictures ------------------------------------------------------------------------------------


def test_binary2dataframe(
    session: Any, pictures: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    listed = tmp_path / "labels.txt"
    lines = "67.jpg 0 first", "a b.jpg 7 second", "", "none.jpg 1 x", "empty.jpg 1 y", "126.jpg 2 z"
    listed.write_text("\n".join(lines))
    out = tmp_path / "frame"
    run(session, "Binary2DataFrame", "-imageRoot", f"file:{pictures}", "-labelFile", listed,
        "-output", out, "-outputFormat", "parquet")  # fmt: skip
    frame = session.read.parquet(str(out))
    assert [(f.name, f.dataType.simpleString()) for f in frame.schema] == [
        ("SampleID", "string"), ("label", "int"), ("data", "binary")
    ]  # fmt: skip
    rows = {row.SampleID: (row.label, bytes(row.data)) for row in frame.collect()}
    assert rows == {
        "first": (0, (pictures / "67.jpg").read_bytes()),
        "second": (7, b"ab"),
        "z": (2, (pictures / "126.jpg").read_bytes()),
    }
    assert f"labels.txt:4: cannot read {pictures}/none.jpg: No such file" in caplog.text
    assert "labels.txt:5" in caplog.text and "a picture of 0 bytes" in caplog.text
    assert "2 pictures cannot be read and were left out" in caplog.text


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("1.jpg 0", r"labels.txt:2: 'file label id' with a whole number as label, not '1.jpg 0'"),
        ("1.jpg cat 5", "labels.txt:2: 'file label id'"),
        ("1.jpg 99999999999 5", "labels.txt:2: 'file label id'"),
    ],
)
def test_a_bad_line_is_refused(session: Any, tmp_path: Path, line: str, message: str) -> None:
    (tmp_path / "labels.txt").write_text(f"0.jpg 0 0\n{line}\n")
    args = ("-imageRoot", tmp_path, "-labelFile", tmp_path / "labels.txt")
    with pytest.raises(DataError, match=message):
        run(session, "Binary2DataFrame", *args, "-output", tmp_path / "o")
    assert not (tmp_path / "o").exists()


def test_binary2sequence(
    session: Any, pictures: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    listed = tmp_path / "labels.txt"
    listed.write_text("67.jpg 3\na b.jpg 7\nempty.jpg 1\n126.jpg -2")
    monkeypatch.chdir(tmp_path)  # where relative paths begin, not where Java was started
    run(session, "Binary2Sequence", "-imageRoot", "pictures", "-labelFile", "labels.txt",
        "-output", "file:sequence")  # fmt: skip
    records = sequence(tmp_path / "sequence")
    assert {(key.id, key.label, key.encoded) for key, _ in records} == {
        ("67.jpg", "3", True), ("a b.jpg", "7", True), ("126.jpg", "-2", True),
    }  # fmt: skip
    assert {key.id: value for key, value in records}["67.jpg"] == (pictures / "67.jpg").read_bytes()
    listed.write_text("67.jpg 3 4 x")
    with pytest.raises(DataError, match="labels.txt:1: 'file label' with a whole number"):
        run(session, "Binary2Sequence", "-imageRoot", pictures, "-labelFile", listed,
            "-output", tmp_path / "other")  # fmt: skip


def sequence(folder: Path) -> list[tuple[SampleKey, bytes]]:
    """The records of a folder of SequenceFiles."""
    found = []
    for part in sorted(folder.glob("part-*")):
        with SequenceFileReader(part) as reader:
            found += [(read_sample_key(key), value) for key, value in reader.items()]
    return found


def test_the_pictures_of_the_ancestor(session: Any, shared: Path, tmp_path: Path) -> None:
    folder = shared / "data" / "images" / "caffeonspark"
    lines = [line for line in (folder / "labels.txt").read_text().splitlines() if line]
    listed = tmp_path / "ids.txt"
    listed.write_text("\n".join(f"{line} {i}" for i, line in enumerate(lines)))
    conf = Config(session, {"imageRoot": folder, "labelFile": listed, "output": "o"})
    tool = open_tool("com.yahoo.ml.caffe.tools.Binary2DataFrame")(session, conf)
    assert isinstance(tool, Binary2DataFrame)
    rows = tool.makeRDD().collect()
    assert [(label, len(data)) for _, label, data in rows] == [
        (int(line[-1]), (folder / line[:-2]).stat().st_size) for line in lines
    ]
    assert not tool.bad.value
    tool = open_tool("com.yahoo.ml.caffe.tools.Binary2Sequence")(
        session, Config(session, {"imageRoot": folder, "labelFile": folder / "labels.txt",
                                  "output": "o"})
    )  # fmt: skip
    assert isinstance(tool, Binary2Sequence)
    assert tool.makeRDD().count() == len(lines)


# --- databases -----------------------------------------------------------------------------------


@pytest.fixture
def lmdb(tmp_path: Path) -> Path:
    """Three pictures of 2 x 3 x 4, one encoded, one of floats, one that is none."""
    rng = np.random.default_rng(0)
    with create_database(tmp_path / "lmdb") as out:
        for i in range(3):
            datum = pb.Datum(channels=2, height=3, width=4, label=i)
            datum.data = rng.integers(0, 256, 24, np.uint8).tobytes()
            out.put(b"%08d" % i, datum.SerializeToString())
        encoded = pb.Datum(encoded=True, data=b"\xff\xd8 a file", label=8)
        out.put(b"00000003", encoded.SerializeToString())
        floats = pb.Datum(channels=1, height=1, width=2, float_data=[0.5, 1])
        out.put(b"00000004", floats.SerializeToString())
        out.put(b"00000005", b"\xff\xff")
    return tmp_path / "lmdb"


@pytest.mark.parametrize("parts", [1, 3, 50])
def test_lmdb2dataframe(
    session: Any, lmdb: Path, tmp_path: Path, parts: int, caplog: pytest.LogCaptureFixture
) -> None:
    out = tmp_path / "frame"
    run(session, "LMDB2DataFrame", "-imageRoot", lmdb, "-output", out, "-outputFormat", "parquet",
        "-lmdb_partitions", parts)  # fmt: skip
    frame = session.read.parquet(str(out))
    assert [(f.name, f.dataType.simpleString()) for f in frame.schema] == [
        ("id", "string"), ("label", "string"), ("channels", "int"), ("height", "int"),
        ("width", "int"), ("encoded", "boolean"), ("data", "binary"),
    ]  # fmt: skip
    rows = sorted(tuple(row) for row in frame.collect())
    assert [row[:2] for row in rows] == [(f"{i:08d}", label) for i, label in enumerate("0128")]
    assert [row[2:6] for row in rows] == [(2, 3, 4, False)] * 3 + [(0, 0, 0, True)]
    pixels = np.random.default_rng(0).integers(0, 256, 24, np.uint8).reshape(2, 3, 4)
    assert bytes(rows[0][6]) == pixels.transpose(1, 2, 0).tobytes()
    assert bytes(rows[3][6]) == b"\xff\xd8 a file"
    assert "b'00000004'" in caplog.text and "has floats" in caplog.text
    assert "b'00000005'" in caplog.text
    assert "2 pictures cannot be read" in caplog.text


def test_lmdb2sequence(
    session: Any, lmdb: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    run(session, "LMDB2Sequence", "-imageRoot", "file:lmdb", "-output", "sequence")
    records = sorted(sequence(tmp_path / "sequence"))
    assert [key[:2] for key, _ in records] == [(f"{i:08d}", s) for i, s in enumerate("0128")]
    assert records[1][0][2:] == (2, 3, 4, False)
    pixels = np.random.default_rng(0).integers(0, 256, 24, np.uint8).reshape(2, 3, 4)
    assert records[0][1] == pixels.transpose(1, 2, 0).tobytes()
    assert records[3][0].encoded and records[3][1] == b"\xff\xd8 a file"


def test_a_sequence_of_a_database_is_the_same_data(session: Any, tmp_path: Path) -> None:
    small = SmallSet(tmp_path)
    run(session, "LMDB2Sequence", "-imageRoot", tmp_path / "test", "-output", tmp_path / "sequence")
    layer = pb.LayerParameter(name="data", type="MemoryData")
    sources = {"LMDB": "test", "SeqImageDataSource": "sequence"}
    read = []
    for name, folder in sources.items():
        layer.memory_data_param.source = str(tmp_path / folder)
        with open_source(name, layer, pb.TEST) as source:
            read.append([source.read(index) for index in range(len(source))])
    assert len(read[0]) == len(read[1]) == len(small.pictures["test"])
    for one, other in zip(*read, strict=True):
        assert one.id == other.id
        assert all(map(np.array_equal, one.values, other.values))


def test_a_frame_of_a_database_is_the_same_data(session: Any, tmp_path: Path) -> None:
    small = SmallSet(tmp_path)
    run(session, "LMDB2DataFrame", "-imageRoot", tmp_path / "test", "-output", tmp_path / "frame",
        "-outputFormat", "parquet")  # fmt: skip
    layer = pb.LayerParameter(name="data", type="MemoryData")
    read = []
    for name, folder in {"LMDB": "test", "ImageDataFrame": "frame"}.items():
        layer.memory_data_param.source = str(tmp_path / folder)
        with open_source(name, layer, pb.TEST) as source:
            read.append([source.read(index) for index in range(len(source))])
    assert len(read[0]) == len(read[1]) == len(small.pictures["test"])
    for one, other in zip(*read, strict=True):
        assert one.id == other.id
        assert all(map(np.array_equal, one.values, other.values))


# --- captions ------------------------------------------------------------------------------------


def test_captions_of_coco(session: Any, coco: Path) -> None:
    frame = DFConversions(session).Coco2ImageCaptionFile(f"file:{coco}", 2)
    assert [(f.name, f.dataType.simpleString()) for f in frame.schema] == [
        ("id", "bigint"), ("height", "int"), ("width", "int"), ("file", "string"),
        ("url", "string"), ("caption", "string"),
    ]  # fmt: skip
    assert [tuple(row) for row in frame.collect()] == [
        (3, 3, 7, "126.jpg", "f126", CAPTIONS[3]),
        (2, 5, 4, "67.jpg", "f67", CAPTIONS[2]),
    ]
    pictures = conversions.Coco2ImageCaptionFile(session, str(coco.parent / "images.json"))
    assert [tuple(row) for row in pictures.collect()] == [
        (67, 5, 4, "67.jpg", "c67"),
        (126, 3, 7, "126.jpg", "c126"),
    ]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ('{"images": [', "c.json:1:13: no JSON"),
        ("[]", "a JSON object with a list 'images' is expected"),
        ('{"images": [{"id": 1}]}', r"images\[0\] must have id, height, width, file_name"),
        ('{"images": [], "annotations": [{"id": 4, "image_id": 1, "caption": "a"}]}',
         "annotation 4 names image 1, which is not there"),
    ],
)  # fmt: skip
def test_captions_that_are_none(session: Any, tmp_path: Path, text: str, message: str) -> None:
    (tmp_path / "c.json").write_text(text)
    with pytest.raises(DataError, match=message):
        conversions.Coco2ImageCaptionFile(session, str(tmp_path / "c.json"))


def test_pictures_and_captions_there_and_back(session: Any, coco: Path, pictures: Path) -> None:
    frame = conversions.Coco2ImageCaptionFile(session, str(coco))
    vocab = Vocab(session)
    vocab.genFromData(frame, "caption")
    embedded = conversions.ImageCaption2Embedding(str(pictures), frame, vocab, 6)
    assert [(f.name, f.dataType.simpleString()) for f in embedded.schema] == [
        ("id", "string"), ("data", "struct<height:int,width:int,image:array<tinyint>>"),
        ("label", "int"), ("input_sentence", "array<int>"), ("cont_sentence", "array<int>"),
        ("target_sentence", "array<int>"),
    ]  # fmt: skip
    rows = {row.id: row for row in embedded.collect()}
    assert sorted(rows) == ["2", "3"]
    data = rows["3"].data
    assert (data.height, data.width) == SIZES[126]
    assert np.int8(data.image).tobytes() == (pictures / "126.jpg").read_bytes()
    assert rows["3"].cont_sentence == [0, 1, 1, 1, 1, 1]
    assert rows["3"].input_sentence[1:] == rows["3"].target_sentence[:-1]
    for column in ("input_sentence", "target_sentence"):
        back = conversions.Embedding2Caption(embedded, vocab, column, "words")
        assert dict(back.dtypes) == {"id": "string", "words": "string"}
        assert {row.id: row.words for row in back.collect()} == {
            "3": "a blue , and white",
            "2": "a view of a kitchen",
        }
    table = captions_table(embedded.select("id", "data", "label"))
    assert table.count("<tr>") == 3 and table.count("data:image/jpeg;base64,") == 2


def test_pictures_without_captions(session: Any, coco: Path, pictures: Path) -> None:
    (pictures / "67.jpg").unlink()
    frame = conversions.Coco2ImageCaptionFile(session, str(coco.parent / "images.json"))
    bad = left_out(session.sparkContext)
    embedded = conversions.Image2Embedding(str(pictures), frame, bad)
    assert [(row.id, row.label) for row in embedded.collect()] == [("126", 0)]
    assert "the picture of id 67: cannot read" in bad.value[67]


def test_the_whole_of_coco(session: Any, coco: Path, pictures: Path, tmp_path: Path) -> None:
    args = ("-captionFile", coco, "-imageRoot", pictures, "-output", f"{tmp_path}/out",
            "-imageCaptionDFDir", "captions", "-vocabDir", "vocab", "-vocabSize", 5,
            "-captionLength", 4, "-outputFormat", "parquet", "-embeddingDFDir")  # fmt: skip
    run(session, "CocoDataSetConverter", *args, "one")
    assert session.read.json(f"{tmp_path}/out/captions").count() == 2
    lines = (tmp_path / "out/vocab/part-00000").read_text().splitlines()
    assert lines == ["UNK", "a", "view", ",", ":", "and"]
    rows = session.read.parquet(f"{tmp_path}/out/one").collect()
    assert {row.id: row.input_sentence for row in rows} == {"3": [0, 2, 1, 4], "2": [0, 2, 3, 1]}
    with pytest.raises(ClusterError, match="out/captions exists already"):
        run(session, "CocoDataSetConverter", *args, "two")
    (tmp_path / "out/vocab/part-00000").write_text("UNK\nblue\nview\n")
    (tmp_path / "out/vocab/.part-00000.crc").unlink()
    args = (*args[:6], *args[8:])
    run(session, "CocoDataSetConverter", *args, "two")
    rows = session.read.parquet(f"{tmp_path}/out/two").collect()
    assert {row.id: row.input_sentence for row in rows} == {"3": [0, 1, 2, 1], "2": [0, 1, 3, 1]}


def test_a_sentence_is_as_long_as_the_net_wants(
    session: Any, coco: Path, pictures: Path, tmp_path: Path
) -> None:
    (tmp_path / "net.prototxt").write_text(
        """layer { name: "data" type: "CoSData" top: "input_sentence"
        cos_data_param { source: "x" batch_size: 2 top { name: "input_sentence" type: INT_ARRAY
          channels: 9 sample_num_axes: 1 transpose: true } } }"""
    )
    (tmp_path / "solver.prototxt").write_text(f'net: "{tmp_path}/net.prototxt" max_iter: 1')
    run(session, "CocoDataSetConverter", "-captionFile", coco, "-imageRoot", pictures, "-output",
        f"{tmp_path}/out/", "-embeddingDFDir", "e",
        "-conf", tmp_path / "solver.prototxt")  # fmt: skip
    rows = session.read.json(f"{tmp_path}/out/e").collect()
    assert [len(row.target_sentence) for row in rows] == [9, 9]


def test_the_captions_of_the_ancestor(session: Any, shared: Path, tmp_path: Path) -> None:
    """CocoTest: 2 pictures, 2 captions, 23 words, sentences of 10."""
    folder = shared / "data" / "captions" / "caffeonspark"
    frame = conversions.Coco2ImageCaptionFile(session, f"{folder}/coco.json", 1)
    vocab = Vocab(session)
    vocab.genFromData(frame, "caption", 23)
    vocab.save(str(tmp_path / "vocab"))
    vocab = Vocab(session)
    vocab.load(str(tmp_path / "vocab"))
    assert len(vocab.word2indexMap()) > 10
    assert vocab.word2indexMap()["butterfly"] > words.VALID_TOKEN_INDEX
    embedded = conversions.ImageCaption2Embedding(str(folder), frame, vocab, 10).cache()
    given = {str(row.id): row for row in frame.collect()}
    for row in embedded.collect():
        of = given[row.id]
        assert (row.data.height, row.data.width) == (of.height, of.width)
        assert len(row.data.image) == (folder / of.file).stat().st_size
    for column in ("input_sentence", "target_sentence"):
        back = conversions.Embedding2Caption(embedded, vocab, column, "words")
        assert {row.id: row.words for row in back.collect()} == {
            name: " ".join(words.sentence2Words(row.caption)[:9]) for name, row in given.items()
        }
    pictures = conversions.Coco2ImageCaptionFile(session, f"{folder}/coco_test.json", 1)
    assert conversions.Image2Embedding(str(folder), pictures).count() == 1


# --- words ---------------------------------------------------------------------------------------


def test_the_ids_of_words(session: Any, tmp_path: Path) -> None:
    frame = session.createDataFrame([("b a, B",), ("c b.",), (None,)], "caption string")
    vocab = Vocab(session)
    vocab.genFromData(frame, "caption")
    assert vocab.word2indexMap() == {"UNK": 1, "b": 2, ",": 3, "a": 4, "c": 5}
    assert len(vocab) == 6
    vocab.save(str(tmp_path / "vocab"))
    kept = Vocab(session)
    kept.load(str(tmp_path / "vocab"))
    assert kept.word2indexMap() == vocab.word2indexMap()
    assert kept.index2wordMap() == {1: "UNK", 2: "b", 3: ",", 4: "a", 5: "c"}
    with pytest.raises(ClusterError, match="already exists"):
        vocab.save(str(tmp_path / "vocab"))
    vocab.genFromData(frame, "caption", 2)
    assert vocab.word2indexMap() == {"UNK": 1, "b": 2, ",": 3}


def test_sentences_in_numbers_and_back() -> None:
    index = {"UNK": 1, "a": 2, "dog": 3}
    sentence = words.sentence_of("A black dog.", index, 5)
    assert sentence == ([0, 2, 1, 3, -1], [0, 1, 1, 1, -1], [2, 1, 3, 0, -1])
    assert words.sentence_of("a a a a a a", index, 3).target == [2, 2, 0]
    assert words.sentence_of(None, index, 3) == ([0, -1, -1], [0, -1, -1], [0, -1, -1])
    known = {index: word for word, index in index.items()}
    assert words.caption_of(sentence.target, known) == "a UNK dog"
    with pytest.raises(DataError, match="no word of id 4"):
        words.caption_of([2, 4], known)


def test_words_of_a_sentence() -> None:
    assert words.sentence2Words(" It's a Dog,\n and two - cats. ") == [
        "it", "'", "s", "a", "dog", ",", "and", "two", "-", "cats",
    ]  # fmt: skip
    assert words.sentence2Words("") == words.sentence2Words(".") == []


@pytest.mark.parametrize(
    ("lines", "message"),
    [
        (["a", "b"], ":1: a vocabulary begins with a line UNK"),
        (["UNK", "a", "a"], ":3: 'a' stands in line 2 already"),
        (["UNK", "", "a"], ":2: an empty line"),
        ([], ":1: a vocabulary begins"),
    ],
)
def test_what_is_no_vocabulary(lines: list[str], message: str) -> None:
    with pytest.raises(DataError, match=message):
        words.checked(lines, "v")


# --- programs ------------------------------------------------------------------------------------


def test_programs_by_name(capsys: pytest.CaptureFixture[str]) -> None:
    assert set(known_tools()) == {
        "Binary2DataFrame", "Binary2Sequence", "CocoDataSetConverter", "LMDB2DataFrame",
        "LMDB2Sequence",
    }  # fmt: skip
    assert main(["com.yahoo.ml.caffe.tools.LMDB2DataFrame", "-help"]) == 0
    assert "-imageRoot" in capsys.readouterr().out
    assert submit.main(["LMDB2Dataframe", "-output", "x"]) == 1
    assert capsys.readouterr().err == (
        "minicaffe: error: there is no tool 'LMDB2Dataframe'; did you mean 'LMDB2DataFrame'?\n"
    )
    assert main([]) == 1
    assert "CocoDataSetConverter" in capsys.readouterr().out


def test_what_a_program_needs(session: Any) -> None:
    with pytest.raises(ClusterError, match="Binary2DataFrame needs -labelFile: tools: the list"):
        run(session, "Binary2DataFrame", "-imageRoot", "x", "-output", "y")


@pytest.mark.slow
def test_a_tool_as_a_program(coco: Path, pictures: Path, tmp_path: Path) -> None:
    words = f"CocoDataSetConverter -captionFile {coco} -imageRoot {pictures} -output file:out"
    command = [sys.executable, str(CHECKOUT / "minicaffe_submit.py"), *words.split()]
    done = subprocess.run(
        [*command, "-embeddingDFDir", "pictures"],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        env={**os.environ, "PYTHONPATH": str(CHECKOUT), "JAVA_HOME": str(find_java().home)},
    )
    assert done.returncode == 0, done.stderr
    rows = [json.loads(line) for part in (tmp_path / "out/pictures").glob("part*.json")
            for line in part.read_text().splitlines()]  # fmt: skip
    assert sorted(row["id"] for row in rows) == ["2", "3"]
