"""Data that Spark and the ancestor's tools write, read by us; and ours, read by Spark."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest

pytest.importorskip("pyspark")

from minicaffe.data.sample_key import SampleKey, read_sample_key, write_sample_key
from minicaffe.data.sequence_file import SequenceFileReader
from minicaffe.data.sequence_writer import SequenceFileWriter
from minicaffe.distributed.spark import CaffeOnSpark, Config, DataSource
from minicaffe.distributed.spark.preflight import plan_forward
from minicaffe.proto.files import read_net_binary
from tests.spark_cluster import SmallSet

pytestmark = pytest.mark.xdist_group("spark")

HADOOP = "org.apache.hadoop"
CODECS = [None, "DefaultCodec", "GzipCodec", "BZip2Codec"]
KEYS = [
    SampleKey("00000000", "5", 1, 28, 280, False),
    SampleKey("größe \U0001f600.jpg", "-2.5", 3, 128, 127, True),
    SampleKey("cat1.jpg", "0"),
]


# --- SequenceFiles -------------------------------------------------------------------------------


def java_bytes(sc: Any, thing: Any) -> bytes:
    """A Java object as Java writes it."""
    stream = sc._jvm.java.io.ByteArrayOutputStream()
    objects = sc._jvm.java.io.ObjectOutputStream(stream)
    objects.writeObject(thing)
    objects.close()
    return bytes(stream.toByteArray())


def java_object(sc: Any, data: bytes) -> Any:
    """The Java object that Java reads."""
    stream = sc._jvm.java.io.ByteArrayInputStream(data)
    return sc._jvm.java.io.ObjectInputStream(stream).readObject()


def tuple_of(sc: Any, key: SampleKey) -> Any:
    if key.encoded and not key.height:
        return sc._jvm.scala.Tuple2(key.id, key.label)
    return sc._jvm.scala.Tuple6(*key)


def test_keys_go_from_java_to_us_and_back(sc: Any) -> None:
    for key in KEYS:
        theirs = tuple_of(sc, key)
        written = java_bytes(sc, theirs)
        assert read_sample_key(written) == key
        assert write_sample_key(key) == written
        assert java_object(sc, write_sample_key(key)).equals(theirs)


@pytest.mark.parametrize("codec", CODECS)
@pytest.mark.parametrize("kind", ["RECORD", "BLOCK"])
def test_files_of_spark_are_read(sc: Any, tmp_path: Path, codec: str | None, kind: str) -> None:
    rng = np.random.default_rng(0)
    values = [rng.integers(0, 9, 40 * i).astype(np.uint8).tobytes() for i in range(60)]
    pairs = [(bytearray(b"key %d" % i), bytearray(value)) for i, value in enumerate(values)]
    compress = "mapreduce.output.fileoutputformat.compress"
    settings = {compress: "true", f"{compress}.type": kind}
    sc.parallelize(pairs, 2).saveAsHadoopFile(
        str(tmp_path / "out"),
        f"{HADOOP}.mapred.SequenceFileOutputFormat",
        keyClass=f"{HADOOP}.io.BytesWritable",
        valueClass=f"{HADOOP}.io.BytesWritable",
        conf=settings | {f"{compress}.codec": f"{HADOOP}.io.compress.{codec}"} if codec else {},
    )
    found = []
    for path in sorted((tmp_path / "out").glob("part-*")):
        with SequenceFileReader(path) as reader:
            assert reader.codec == (codec or "")
            assert reader.in_blocks == (codec is not None and kind == "BLOCK")
            found += list(reader.items())
    assert found == [(bytes(key), bytes(value)) for key, value in pairs]


def test_texts_of_spark_are_read(sc: Any, tmp_path: Path) -> None:
    sc.parallelize([("größe", "x" * 200)], 1).saveAsSequenceFile(str(tmp_path / "out"))
    with SequenceFileReader(tmp_path / "out" / "part-00000") as reader:
        assert list(reader.items()) == [("größe".encode(), b"x" * 200)]


@pytest.mark.parametrize("how", [(), *((kind, codec) for kind in ("RECORD", "BLOCK")
                                       for codec in CODECS[1:])])  # fmt: skip
def test_our_files_are_read_by_spark(sc: Any, tmp_path: Path, how: tuple[str, ...]) -> None:
    values = [bytes([i]) * 3000 * i for i in range(100)]  # several sync markers, many blocks
    with SequenceFileWriter(tmp_path / "part-00000", *how) as out:
        for i, value in enumerate(values):
            out.put(write_sample_key(SampleKey(f"{i:08d}", str(i))), value)
    pairs = sc.sequenceFile(str(tmp_path), minSplits=3).collect()
    assert [bytes(value) for _, value in pairs] == values
    assert read_sample_key(bytes(pairs[-1][0])) == SampleKey("00000099", "99")


# --- training, test and features -----------------------------------------------------------------


def config(sc: Any, solver: str, *args: str) -> Config:
    folder = Path(solver).parent
    return Config(sc, ["-conf", solver, "-clusterSize", "2", "-store", f"{folder}/store",
                       "-model", f"{folder}/m.caffemodel", *args])  # fmt: skip


def trained(sc: Any, solver: str) -> bytes:
    """The weights, as they lie in the model."""
    conf = config(sc, solver)
    CaffeOnSpark(sc).train(DataSource.getSource(conf, True))
    net = read_net_binary(conf.modelPath)
    blobs = [np.array(blob.data, np.float32) for layer in net.layer for blob in layer.blobs]
    assert max(np.abs(blob).max() for blob in blobs) > 0.1
    return b"".join(blob.tobytes() for blob in blobs)


def features(sc: Any, solver: str, *blobs: str) -> list[Any]:
    conf = config(sc, solver, "-features", ",".join(blobs))
    return list(CaffeOnSpark(sc).features(DataSource.getSource(conf, False)).collect())


def write_sequences(sc: Any, small: SmallSet) -> None:
    """Both sets as the ancestor's LMDB2Sequence left them, the keys made by Java."""
    for name, pictures in small.pictures.items():
        pairs = []
        for i, picture in enumerate(pictures):
            key = tuple_of(sc, SampleKey(f"{i:08d}", str(i % 4), 1, 6, 6, False))
            pairs.append((bytearray(java_bytes(sc, key)), bytearray(picture.tobytes())))
        sc.parallelize(pairs[::-1], 3).saveAsSequenceFile(str(small.folder / f"{name}_seq"))


def write_json(sc: Any, small: SmallSet) -> None:
    """... and as a DataFrame in a format that Spark alone reads."""
    from pyspark.sql import SparkSession

    for name, pictures in small.pictures.items():
        rows = [(f"{i:08d}", i % 4, picture.ravel().tolist()) for i, picture in enumerate(pictures)]
        frame = SparkSession(sc).createDataFrame(
            rows[::-1], "id string, label int, data array<int>"
        )
        frame.repartition(2).write.json(str(small.folder / f"{name}_json"))


def change_net(solver: str, **words: str) -> str:
    """Replace words of a solver's net; the solver's path."""
    path = Path(solver).with_name(f"{Path(solver).stem}_net.prototxt")
    text = path.read_text()
    for old, new in words.items():
        assert old in text
        text = text.replace(old, new)
    path.write_text(text)
    return solver


def cos_solver(small: SmallSet, end: str, tops: str, more: str = "") -> str:
    """A solver whose net reads a DataFrame in CoSData layers."""
    solver = small.solver("cos", max_iter=12)
    path = small.folder / "cos_net.prototxt"
    text = path.read_text()
    for name, batch in (("train", 5), ("test", 8)):
        old = text[text.index("        source_class") :]
        old = old[: old.index("}\nlayer")]
        new = f"""cos_data_param {{ source: "{small.folder}/{name}{end}" batch_size: {batch}
                  {more} {tops} }} """
        text = text.replace(old, new, 1)
    path.write_text(text.replace("MemoryData", "CoSData"))
    return solver


@pytest.mark.slow
def test_two_ranks_have_the_weights_of_an_lmdb(sc: Any, small: SmallSet) -> None:
    write_sequences(sc, small)
    write_json(sc, small)
    lmdb = trained(sc, small.solver("lmdb", max_iter=12))
    sequence = small.solver("seq", max_iter=12)
    change_net(sequence, **{"caffe.LMDB": "caffe.SeqImageDataSource",
                            '/train"': '/train_seq"', '/test"': '/test_seq"'})  # fmt: skip
    assert trained(sc, sequence) == lmdb
    tops = """top { name: "data" type: INT_ARRAY channels: 1 height: 6 width: 6
                    transform_param { scale: 0.00390625 } }
              top { name: "label" type: INT sample_num_axes: 0 }"""
    cos = cos_solver(small, "_json", tops, 'dataframe_format: "json"')
    assert trained(sc, cos) == lmdb
    rows = [features(sc, solver, "ip2", "label") for solver in (sequence, cos)]
    assert rows[0] == rows[1]
    assert [row.SampleID for row in rows[0]] == [f"{i:08d}" for i in range(21)]
    assert [row.label for row in rows[0]] == [[i % 4] for i in range(21)]


SEQUENCES = """
layer {{ name: "words" type: "CoSData" top: "words" top: "cont"
  cos_data_param {{ source: "{folder}/words" batch_size: 4
    top {{ name: "words" type: INT_ARRAY channels: 3 sample_num_axes: 1 transpose: true }}
    top {{ name: "cont" type: INT_ARRAY channels: 3 sample_num_axes: 1 transpose: true }} }} }}
layer {{ name: "table" type: "Embed" bottom: "words" top: "vectors"
  embed_param {{ input_dim: 40 num_output: 2 bias_term: false weight_filler {{ value: 0.5 }} }} }}
layer {{ name: "lstm" type: "LSTM" bottom: "vectors" bottom: "cont" top: "lstm"
  recurrent_param {{ num_output: 4 weight_filler {{ type: "xavier" }} }} }}
layer {{ name: "predict" type: "InnerProduct" bottom: "lstm" top: "predict"
  inner_product_param {{ num_output: 5 axis: 2 weight_filler {{ type: "xavier" }} }} }}
layer {{ name: "loss" type: "SoftmaxWithLoss" bottom: "predict" bottom: "cont" top: "loss"
  softmax_param {{ axis: 2 }} }}
"""


@pytest.mark.slow
def test_each_sample_has_its_own_values_of_a_sequence(sc: Any, small: SmallSet) -> None:
    """4 rows to a batch, as many as a blob's third axis has; of 10, so that one is not full."""
    from pyspark.sql import SparkSession

    rows = [(f"{i:02d}", [i, i + 1, i + 2], [0, 1, 1]) for i in range(10)]
    frame = SparkSession(sc).createDataFrame(rows, "id string, words array<int>, cont array<int>")
    frame.write.parquet(str(small.folder / "words"))
    solver = small.solver("lstm", max_iter=3)
    (small.folder / "lstm_net.prototxt").write_text(SEQUENCES.format(folder=small.folder))
    trained(sc, solver)
    found = features(sc, solver, "words", "lstm", "predict", "loss")
    assert [list(row.words) for row in found] == [words for _, words, _ in rows]
    assert {(len(row.lstm), len(row.predict), len(row.loss)) for row in found} == {(12, 15, 1)}
    conf = config(sc, solver)
    assert list(CaffeOnSpark(sc).test(DataSource.getSource(conf, False))) == ["loss"]


HDF5_DATA = """
layer {{ name: "data" type: "HDF5Data" top: "data" top: "label" include {{ phase: {phase} }}
  hdf5_data_param {{ source: "{folder}/{phase}.txt" batch_size: 8 }} }}
"""
REGRESSION = """
layer { name: "ip" type: "InnerProduct" bottom: "data" top: "ip"
  inner_product_param { num_output: 1 weight_filler { type: "xavier" } } }
layer { name: "loss" type: "EuclideanLoss" bottom: "ip" bottom: "label" top: "loss" }
"""


@pytest.mark.slow
def test_matrices_from_hdf5(sc: Any, small: SmallSet) -> None:
    h5py = pytest.importorskip("h5py")
    rng = np.random.default_rng(1)
    for name in ("TRAIN", "TEST"):
        with h5py.File(small.folder / f"{name}.h5", "w") as file:
            file["data"] = rng.normal(size=(30, 3, 4)).astype(np.float32)  # 2-D, not pictures
            file["label"] = np.linspace(-1, 1, 30, dtype=np.float32)  # not whole
        (small.folder / f"{name}.txt").write_text(f"{small.folder}/{name}.h5\n")
    solver = small.solver("hdf5", max_iter=6)
    layers = [HDF5_DATA.format(folder=small.folder, phase=phase) for phase in ("TRAIN", "TEST")]
    (small.folder / "hdf5_net.prototxt").write_text("".join([*layers, REGRESSION]))
    trained(sc, solver)
    found = features(sc, solver, "ip", "data", "label")
    assert len(found) == 30
    assert {(len(row.ip), len(row.data)) for row in found} == {(1, 12)}
    labels = np.linspace(-1, 1, 30, dtype=np.float32)
    assert np.array_equal(np.array([row.label[0] for row in found], np.float32), labels)
    conf = config(sc, solver)
    conf.transform_thread_per_device = 3
    assert plan_forward(conf, ("ip",)).data_threads == 3
    assert CaffeOnSpark(sc).test(DataSource.getSource(conf, False))["loss"][0] > 0
