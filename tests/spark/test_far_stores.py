"""Stores in S3, which Spark itself cannot write, by Hadoop's settings; lists and pictures there."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

pytest.importorskip("pyspark")

from minicaffe.data.store import Store, find_index
from minicaffe.distributed.spark import CaffeOnSpark, Config, DataSource
from minicaffe.distributed.spark.files import store_folders
from minicaffe.distributed.spark.session import context_of
from minicaffe.distributed.spark.shipping.far_settings import read_settings
from minicaffe.distributed.spark.store_writer import write_store
from minicaffe.errors import ClusterError, DataError
from minicaffe.machine.file_system import files_in, upload
from minicaffe.machine.s3_settings import use_settings
from tests.far_files import SECRET, hadoops_store
from tests.spark_cluster import SmallSet

pytestmark = [
    pytest.mark.xdist_group("spark"),
    pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::ResourceWarning"),
]


@pytest.fixture(scope="module")
def store() -> Iterator[tuple[str, dict[str, str]]]:
    with hadoops_store() as found:
        yield found


@pytest.fixture(scope="module")
def bucket(store: tuple[str, dict[str, str]]) -> str:
    return store[0]


@pytest.fixture(scope="module")
def spark(sc: Any, store: tuple[str, dict[str, str]]) -> Iterator[Any]:
    """A session whose Hadoop has the settings."""
    from pyspark.sql import SparkSession

    for name, value in store[1].items():
        sc._jsc.hadoopConfiguration().set(name, value)
    context_of(sc)
    yield SparkSession(sc)
    use_settings(None)


def rows_of(folder: str) -> list[dict[str, Any]]:
    store = Store(folder)
    return [store.read(index) for index in range(len(store))]


def data_of(folder: str) -> list[str]:
    """The files of data that an index names."""
    index = find_index(folder)
    assert index is not None
    return sorted({group.file for group in index.groups})


def test_a_session_tells_its_settings_and_hides_them(spark: Any) -> None:
    settings = read_settings(spark.sparkContext)
    assert settings["secret.key"] == SECRET
    assert settings["path.style.access"] == "true"
    assert SECRET not in repr(settings)


def test_a_store_in_s3_is_that_of_a_disk(
    spark: Any, bucket: str, tmp_path: Path, capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    frame = spark.range(0, 60, 1, 5).selectExpr(
        "lpad(cast(60 - id as string), 3, '0') as id", "cast(id as int) as label",
        "cast(repeat('x', 2000 * (id % 3)) as binary) as data", "array(id, 2) as numbers",
    )  # fmt: skip
    near = write_store(frame.repartition(4), str(tmp_path / "store"))
    far = write_store(frame.repartition(3), f"{bucket}/frames/store", source_digest="one")
    assert str(rows_of(far)) == str(rows_of(near))
    assert Store(far).index.columns == Store(near).index.columns
    before = data_of(far)
    assert write_store(frame, far, source_digest="one") == far
    assert data_of(far) == before
    told = capsys.readouterr().err
    assert f"{far} is written, 60 rows" in told
    assert f"{far} is used as it is, 60 rows" in told
    write_store(frame.where("label < 9"), far, source_digest="two")
    assert len(rows_of(far)) == 9
    assert files_in(f"{far}/{before[0].partition('/')[0]}") == []  # the former data are gone


def test_a_store_that_is_not_whole_is_not_taken(spark: Any, bucket: str) -> None:
    folder = f"{bucket}/broken"
    good = spark.range(0, 30, 1, 3).selectExpr("cast(id as string) id")
    bad = good.selectExpr("cast(assert_true(id < 20, 'no good') as string) x", "id")
    with pytest.raises(ClusterError, match="no good"):
        write_store(bad, folder)
    with pytest.raises(DataError, match="there is no store here, or none that is whole"):
        Store(folder)
    write_store(good, folder)
    before = data_of(folder)
    with pytest.raises(ClusterError, match="no good"):
        write_store(bad, folder)
    assert data_of(folder) == before
    assert len(rows_of(folder)) == 30


def test_an_empty_frame_is_a_store_too(spark: Any, bucket: str) -> None:
    frame = spark.createDataFrame([], "id string, label int")
    assert rows_of(write_store(frame, f"{bucket}/empty")) == []


def test_groups_have_some_size(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import pyarrow
    from pyarrow import parquet

    monkeypatch.setattr(store_folders, "GROUP", 10_000)
    values = [bytes(size) for size in (100, 30_000, 40, 9_000, 2_000, 50, 60)]
    batches = [
        pyarrow.record_batch({"data": values[:3]}),
        pyarrow.record_batch({"data": values[3:]}),
    ]
    assert store_folders.write_groups(tmp_path / "part", iter(batches)) == 7
    with parquet.ParquetFile(tmp_path / "part") as file:
        assert [value.as_py() for value in file.read().column("data")] == values
        sizes = [file.metadata.row_group(i).total_byte_size for i in range(file.num_row_groups)]
        assert file.metadata.row_group(0).column(0).compression == "UNCOMPRESSED"
    assert len(sizes) >= 2
    assert max(sizes) < 42_000


LIST_NET = """
name: "listed"
layer {{ name: "data" type: "ImageData" top: "data" top: "label"
        image_data_param {{ source: "{root}/list.txt" root_folder: "{root}/" batch_size: 8
                            is_color: false }} transform_param {{ scale: 0.00390625 }} }}
layer {{ name: "ip2" type: "InnerProduct" bottom: "data" top: "ip2"
        inner_product_param {{ num_output: 4 weight_filler {{ type: "xavier" }} }} }}
layer {{ name: "loss" type: "SoftmaxWithLoss" bottom: "ip2" bottom: "label" top: "loss" }}
"""


@pytest.mark.slow
def test_lists_and_pictures_may_lie_far_away(
    spark: Any, bucket: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    cv2 = pytest.importorskip("cv2")
    small = SmallSet(tmp_path)
    lines = []
    for number, picture in enumerate(small.pictures["train"]):
        cv2.imwrite(str(tmp_path / f"{number}.png"), picture)
        upload(tmp_path / f"{number}.png", f"{bucket}/pictures/{number}.png")
        lines.append(f"{number}.png {number % 4}")
    (tmp_path / "list.txt").write_text("\n".join(lines))
    upload(tmp_path / "list.txt", f"{bucket}/pictures/list.txt")
    models = []
    for root in (str(tmp_path), f"{bucket}/pictures"):
        (tmp_path / "net").write_text(LIST_NET.format(root=root))
        solver = tmp_path / "solver"
        solver.write_text(f'net: "{tmp_path}/net" base_lr: 0.1 lr_policy: "fixed" random_seed: 1'
                          " max_iter: 5 display: 1")  # fmt: skip
        conf = Config(spark, {"conf": solver, "model": tmp_path / "m", "features": "ip2"})
        job = CaffeOnSpark(spark)
        job.train(DataSource.getSource(conf, True))
        frame = job.features(DataSource.getSource(conf, False))
        models.append(np.array([row.ip2 for row in frame.collect()]))
    assert models[0].shape == (50, 4)
    assert models[0].tolist() == models[1].tolist()
    (tmp_path / "net").write_text(LIST_NET.format(root=f"{bucket}/nowhere"))
    with pytest.raises(ClusterError, match=f"{bucket}/nowhere/list.txt: cannot be read: there is"):
        job.train(DataSource.getSource(conf, True))


@pytest.mark.slow
def test_sequence_files_far_away_are_those_of_a_disk(
    spark: Any, bucket: str, tmp_path: Path
) -> None:
    from minicaffe.data.sample_key import SampleKey, write_sample_key
    from minicaffe.data.sequence_writer import SequenceFileWriter

    small = SmallSet(tmp_path)
    (tmp_path / "parts").mkdir()
    for part in range(2):
        path = tmp_path / "parts" / f"part-{part}"
        with SequenceFileWriter(str(path), "BLOCK", "DefaultCodec") as out:
            for number, picture in enumerate(small.pictures["train"][part::2]):
                key = SampleKey(
                    f"{2 * number + part:03d}", str((2 * number + part) % 4), 1, 6, 6, False
                )
                out.put(write_sample_key(key), picture.tobytes())
        upload(path, f"{bucket}/parts/part-{part}")
    upload(tmp_path / "parts" / "part-0", f"{bucket}/parts/_SUCCESS")  # no data
    weights = []
    for place in (f"{tmp_path}/parts", f"{bucket}/parts"):
        solver = Path(small.solver(max_iter=6))
        net = small.folder / "solver_net.prototxt"
        net.write_text(net.read_text().replace("caffe.LMDB", "caffe.SeqImageDataSource")
                       .replace(f"{tmp_path}/train", place))  # fmt: skip
        conf = Config(spark, {"conf": solver, "model": tmp_path / "m", "clusterSize": 2})
        training = CaffeOnSpark(spark).train(DataSource.getSource(conf, True))
        weights.append([row["loss"] for row in training.metrics.rows])
    assert weights[0] == weights[1]
