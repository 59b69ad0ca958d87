"""Training from DataFrames in Spark: written into a store once, the weights of an LMDB."""

import hashlib
from pathlib import Path
from typing import Any

import numpy as np
import pytest

pytest.importorskip("pyspark")
pytest.importorskip("cv2")

from minicaffe.distributed.spark import CaffeOnSpark, Config, DataSource
from minicaffe.errors import ClusterError, DataError
from minicaffe.proto.files import read_net, read_net_binary
from minicaffe.proto.text import format_text
from tests.spark_cluster import SmallSet

pytestmark = pytest.mark.xdist_group("spark")


def write_parquet(sc: Any, small: SmallSet) -> None:
    """The pictures of both sets as Parquet folders, in an order of their own."""
    from pyspark.sql import SparkSession

    schema = "id string, label string, channels int, height int, width int, data binary"
    for name, pictures in small.pictures.items():
        rows = [
            (f"{i:08d}", str(i % 4), 1, 6, 6, bytearray(picture.tobytes()))
            for i, picture in enumerate(pictures)
        ]
        frame = SparkSession(sc).createDataFrame(rows[::-1], schema)
        frame.repartition(3).write.parquet(str(small.folder / f"{name}_parquet"))


def write_images(small: SmallSet) -> None:
    """... and as folders of PNG files, a folder a class."""
    import cv2

    for name, pictures in small.pictures.items():
        for i, picture in enumerate(pictures):
            folder = small.folder / f"{name}_images" / str(i % 4)
            folder.mkdir(parents=True, exist_ok=True)
            (folder / f"{i:08d}.png").write_bytes(bytes(cv2.imencode(".png", picture)[1]))


IMAGES = r"""
    dataframe_format: "binaryFile" image_encoded: true
    dataframe_column_select: "regexp_extract(path, '([0-9]+).png$', 1) as id"
    dataframe_column_select: "regexp_extract(path, '([0-9])/[0-9]+.png$', 1) as label"
    dataframe_column_select: "content as data"
"""


def framed(solver: str, end: str, more: str = "") -> str:
    """Let the net of a solver read ImageDataFrames in place of LMDBs; the solver's path."""
    path = Path(solver).with_name(f"{Path(solver).stem}_net.prototxt")
    text = path.read_text().replace("caffe.LMDB", "caffe.ImageDataFrame")
    for name in ("train", "test"):
        text = text.replace(f'/{name}"', f'/{name}{end}" {more} ')
    path.write_text(text.replace("[0-9]/*.png", "*/*.png"))
    return solver


def config(sc: Any, solver: str, *args: str) -> Config:
    folder = Path(solver).parent
    return Config(sc, ["-conf", solver, "-clusterSize", "2", "-store", f"{folder}/store",
                       "-model", f"{folder}/m.caffemodel", *args])  # fmt: skip


def digest(model: Path) -> str:
    """The sha256 of all weights."""
    found = hashlib.sha256()
    for layer in read_net_binary(model).layer:
        for blob in layer.blobs:
            found.update(np.array(blob.data, np.float32).tobytes())
    return found.hexdigest()


def trained(sc: Any, solver: str) -> str:
    conf = config(sc, solver)
    CaffeOnSpark(sc).train(DataSource.getSource(conf, True))
    return digest(Path(conf.modelPath))


@pytest.mark.slow
def test_an_lmdb_and_a_parquet_folder_give_the_same(
    sc: Any, small: SmallSet, capsys: pytest.CaptureFixture[str]
) -> None:
    write_parquet(sc, small)
    results = []
    for end in ("", "_parquet"):
        solver = small.solver("s", max_iter=12, more="test_iter: 3 test_interval: 5")
        if end:
            framed(solver, end)
        conf = config(sc, solver, "-features", "ip2", "-label", "label")
        spark = CaffeOnSpark(sc)
        train, test = DataSource.getSource(conf, True), DataSource.getSource(conf, False)
        validations = [row.asDict() for row in spark.trainWithValidation(train, test).collect()]
        features = [row.asDict() for row in spark.features(test).collect()]
        results.append((validations, features, spark.test(test), digest(Path(conf.modelPath))))
    assert results[0] == results[1]
    assert len(results[1][1]) == 21
    assert results[1][1][3]["SampleID"] == "00000003"
    told = capsys.readouterr().err
    assert told.count("is written, 50 rows in") == told.count("is written, 21 rows in") == 1
    assert told.count("is used as it is, 21 rows in") == 2
    assert len(list((small.folder / "store").iterdir())) == 2


@pytest.mark.slow
def test_a_folder_of_images_gives_the_weights_of_an_lmdb(sc: Any, small: SmallSet) -> None:
    write_images(small)
    from_images = trained(sc, framed(small.solver("images"), "_images/*/*.png", IMAGES))
    assert from_images == trained(sc, small.solver("lmdb"))


@pytest.mark.slow
def test_rows_that_cannot_be_used_are_told_and_left_out(
    sc: Any, small: SmallSet, capsys: pytest.CaptureFixture[str]
) -> None:
    from pyspark.sql import SparkSession

    pixels = bytearray(small.pictures["test"][0].tobytes())
    rows = [(str(i), str(i % 4) if i != 7 else None, pixels) for i in range(20)]
    frame = SparkSession(sc).createDataFrame(rows, "id string, label string, data binary")
    frame.write.json(str(small.folder / "test_json"))
    shape = "channels: 1 height: 6 width: 6"
    more = f"""{shape} dataframe_format: "json" dataframe_column_select: "id"
               dataframe_column_select: "label"
               dataframe_column_select: "unbase64(data) as data" """
    solver = framed(small.solver("s"), "_json", more)
    conf = config(sc, solver, "-features", "label")
    conf.modelPath = str(small.folder / "m.caffemodel")
    write_parquet(sc, small)
    trained(sc, framed(small.solver("t"), "_parquet"))
    found = CaffeOnSpark(sc).features(DataSource.getSource(conf, False)).collect()
    assert [row.SampleID for row in found] == sorted(str(i) for i in range(20) if i != 7)
    assert "20 rows in 1 row groups, 1 without label" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("more", "words"),
    [
        ("", r"layer 'data': source .*/nothing: \[PATH_NOT_FOUND\]"),
        ('dataframe_format: "no_such"', r"layer 'data': source .*DATA_SOURCE_NOT_FOUND"),
    ],
)
def test_what_spark_cannot_read_is_one_line(
    more: str, words: str, sc: Any, small: SmallSet
) -> None:
    solver = framed(small.solver("s"), "_parquet", more)
    path = small.folder / "s_net.prototxt"
    path.write_text(path.read_text().replace("train_parquet", "nothing"))
    with pytest.raises(ClusterError, match=words) as error:
        trained(sc, solver)
    assert "\n" not in str(error.value)
    assert not (small.folder / "store").exists()


def test_a_column_that_is_missing_is_named(sc: Any, small: SmallSet) -> None:
    write_parquet(sc, small)
    solver = framed(small.solver("s"), "_parquet", 'dataframe_column_select: "label"')
    with pytest.raises(DataError, match=r"train_parquet has no column 'data' \(it has: label\)"):
        trained(sc, solver)


@pytest.mark.slow
@pytest.mark.parametrize("number", ["8df80913", "f31cface", "f4491c2e"])
def test_the_ancestors_prototxts_run(number: str, sc: Any, shared: Path, small: SmallSet) -> None:
    from pyspark.sql import SparkSession

    rows = [(f"{i:08d}", str(i % 10), bytearray([i] * 784)) for i in range(200)]
    frame = SparkSession(sc).createDataFrame(rows, "id string, label string, data binary")
    frame.write.parquet(str(small.folder / "mnist"))
    folder = shared / "data" / "prototxt"
    net = read_net(folder / f"net_ext/{number}__yahoo__data_lenet_dataframe_train_test.prototxt")
    for layer in net.layer[:2]:
        layer.memory_data_param.source = str(small.folder / "mnist")
    (small.folder / "net.prototxt").write_text(format_text(net))
    solver = (folder / "solver/e0d6b680__yahoo__data_lenet_dataframe_solver.prototxt").read_text()
    solver = solver.replace("max_iter: 10000", "max_iter: 4 random_seed: 1")
    lines = [line for line in solver.split("\n") if not line.startswith("net:")]
    path = small.folder / "solver.prototxt"
    path.write_text("\n".join([f'net: "{small.folder}/net.prototxt"', *lines]))
    conf = config(sc, str(path))
    spark = CaffeOnSpark(sc)
    spark.train(DataSource.getSource(conf, True))
    assert set(spark.test(DataSource.getSource(conf, False))) == {"accuracy", "loss"}
