"""Data that Spark and the ancestor's tools write, read by us; and ours, read by Spark."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

pytest.importorskip("pyspark")

from minicaffe.data.sample_key import SampleKey, read_sample_key, write_sample_key
from minicaffe.data.sequence_file import SequenceFileReader
from minicaffe.data.sequence_writer import SequenceFileWriter
from tests.spark_cluster import spark_context

pytestmark = pytest.mark.xdist_group("spark")

HADOOP = "org.apache.hadoop"
CODECS = [None, "DefaultCodec", "GzipCodec", "BZip2Codec"]
KEYS = [
    SampleKey("00000000", "5", 1, 28, 280, False),
    SampleKey("größe \U0001f600.jpg", "-2.5", 3, 128, 127, True),
    SampleKey("cat1.jpg", "0"),
]


@pytest.fixture(scope="module")
def sc() -> Iterator[Any]:
    with spark_context("local[2]") as sc:
        yield sc


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
