"""DataSource's methods: the samples as an RDD, a queue of them, and batches out of it."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest

pytest.importorskip("pyspark")

from minicaffe.data.database import create_database
from minicaffe.distributed.spark import CaffeOnSpark, Config, DataSource
from minicaffe.distributed.spark.preflight import plan_training
from minicaffe.errors import ClusterError, DataError
from minicaffe.proto import minicaffe_pb2 as pb
from tests.spark_cluster import SmallSet

pytestmark = pytest.mark.xdist_group("spark")


def source(sc: Any, solver: str, train: bool = False, **options: Any) -> Any:
    return DataSource(sc).getSource(Config(sc, {"conf": solver, **options}), train)


def test_the_samples_of_an_lmdb_as_an_rdd(sc: Any, small: SmallSet) -> None:
    rdd = source(sc, small.solver(), lmdb_partitions=3).makeRDD(sc)
    assert rdd.getNumPartitions() == 3
    samples = rdd.collect()
    assert [each[0] for each in samples] == [f"{i:08d}" for i in range(21)]
    name, label, channels, height, width, encoded, data = samples[6]
    assert (name, label, channels, height, width, encoded) == ("00000006", "2", 1, 6, 6, False)
    assert data == small.pictures["test"][6].tobytes()


def test_batches_of_the_queue_are_those_of_the_layer(sc: Any, small: SmallSet) -> None:
    """21 samples in batches of 8, scaled as transform_param says."""
    test = source(sc, small.solver())
    assert test.init()
    for sample in test.makeRDD(sc).collect():
        assert test.offer(sample)
    ids: list[str] = []
    holder = test.dummyDataHolder()
    assert [each.shape for each in holder] == [(8, 1, 6, 6), (8,)]
    whole, seen = [], []
    while True:
        more = test.nextBatch(ids, holder)
        whole.append(len(ids))
        seen += ids
        np.testing.assert_array_equal(holder[1], [int(name) % 4 for name in ids])
        pictures = [small.pictures["test"][int(name)] for name in ids]
        np.testing.assert_array_equal(holder[0][:, 0], np.float32(pictures) / 256)
        if not more:
            break
    assert (whole, seen) == ([8, 8, 5], [f"{i:08d}" for i in range(21)])
    assert not test.nextBatch(ids, holder)
    assert (ids, holder) == ([], [])
    test.close()


def test_the_queue(sc: Any, small: SmallSet) -> None:
    test = source(sc, small.solver())
    sample = ("a", "1", 1, 6, 6, False, bytes(36))
    test.resetQueue(3)
    assert [test.offer(sample) for _ in range(4)] == [True, True, True, False]
    test.resetQueue()
    assert [test.offer(sample) for _ in range(1025)][-2:] == [True, False]
    test.resetQueue()
    ids: list[str] = []
    data: list[Any] = []
    for each in (sample, None, sample, ("b", "x", 1, 6, 6, False, bytes(36))):
        test.offer(each)
    assert not test.nextBatch(ids, data)  # a mark
    assert ids == ["a"]
    assert not test.nextBatch(ids, data)
    assert (ids, len(data[0])) == (["a"], 1)  # b has no label that is a number
    for wrong in ("a", ("a", 1), 7):
        test.offer(wrong)
        with pytest.raises(DataError, match="layer 'data': a sample is .id, label, channels, hei"):
            test.nextBatch(ids, data)
    test.close()


def test_what_a_source_says_of_itself(sc: Any, small: SmallSet) -> None:
    train = source(sc, small.solver(batch=5), train=True)
    assert (train.isTrain, train.source_class, train.batchSize()) == (True, "LMDB", 5)
    assert (train.getNumTops(), train.useCoSDataLayer()) == (2, False)
    kinds = pb.CoSDataParameter
    assert [train.getTopDataType(i) for i in (0, 1)] == [kinds.RAW_IMAGE, kinds.FLOAT]
    assert train.getTopTransformParam(0).scale == pytest.approx(1 / 256)
    assert train.getTopTransformParam(1) is None


def test_another_batch_size_is_trained_with(sc: Any, small: SmallSet) -> None:
    train = source(sc, small.solver(batch=5), train=True)
    test = source(sc, small.solver(batch=5))
    train.setBatchSize(7)
    assert (train.batchSize(), test.batchSize()) == (7, 8)
    assert [blob.shape[0] for blob in train.dummyDataBlobs()] == [7, 7]
    planned = plan_training(train.conf, validate=False).solver.net_param.layer
    assert [layer.memory_data_param.batch_size for layer in planned[:2]] == [7, 8]
    with pytest.raises(ClusterError, match="takes no batch_size 0"):
        train.setBatchSize(0)
    small.solver(batch=6)  # the prototxt changes
    assert train.batchSize() == 6
    train.close()


def test_encoded_pictures_stay_so_and_damaged_ones_are_left_out(sc: Any, small: SmallSet) -> None:
    cv2 = pytest.importorskip("cv2")
    with create_database(small.folder / "files") as out:
        for i in range(4):
            file = cv2.imencode(".png", small.pictures["test"][i])[1].tobytes()
            datum = pb.Datum(label=i, encoded=True, data=file)
            value = datum.SerializeToString()
            out.put(f"{i}".encode(), value[:-9] if i == 2 else value)
    net = small.folder / "solver_net.prototxt"
    solver = small.solver()
    net.write_text(net.read_text().replace(f"{small.folder}/test", f"{small.folder}/files"))
    test = source(sc, solver)
    samples = test.makeRDD(sc).collect()
    assert [each[0] for each in samples] == ["0", "1", "3"]
    assert all(each[5] and each[6].startswith(b"\x89PNG") for each in samples)
    ids: list[str] = []
    data: list[Any] = []
    for each in samples:
        test.offer(each)
    test.offer((*samples[0][:6], samples[0][6][:40]))
    assert not test.nextBatch(ids, data)
    assert ids == ["0", "1", "3"]  # without the one that is cut short
    np.testing.assert_array_equal(data[0][2, 0], np.float32(small.pictures["test"][3]) / 256)
    test.close()


OWN = """
import numpy as np
from minicaffe.data.source import DataSource, Sample
class Squares(DataSource):
    "Grey squares, as many as `source` says."
    def __len__(self):
        return int(self.param.memory_data_param.source)
    def read(self, index):
        picture = np.full((1, 6, 6), index % 4 * 60, np.uint8)
        return Sample(f"s{index}", (picture, np.array(index % 4, np.float32)))
    def close(self):
        pass
"""


def test_a_source_of_ones_own(sc: Any, small: SmallSet) -> None:
    """Its module lies beside the prototxt; its `source` is a number, no path."""
    (small.folder / "own_squares.py").write_text(OWN)
    solver = small.solver(batch=5)
    net = small.folder / "solver_net.prototxt"
    text = net.read_text().replace("com.yahoo.ml.caffe.LMDB", "own_squares.Squares")
    text = text.replace(f"{small.folder}/train", "24").replace(f"{small.folder}/test", "10")
    net.write_text(text)
    samples = source(sc, solver).makeRDD(sc).collect()
    assert [each[:6] for each in samples[:2]] == [
        ("s0", "0", 1, 6, 6, False), ("s1", "1", 1, 6, 6, False),
    ]  # fmt: skip
    conf = Config(sc, {"conf": solver, "model": small.folder / "m", "clusterSize": 2})
    spark = CaffeOnSpark(sc)
    spark.train(DataSource.getSource(conf, True))
    conf.features = ["ip2"]
    frame = spark.features(DataSource.getSource(conf, False))
    assert [row.SampleID for row in frame.collect()] == [f"s{i}" for i in range(10)]
    frame.unpersist()


def test_samples_that_are_no_pictures_are_rows(sc: Any, tmp_path: Path) -> None:
    h5py = pytest.importorskip("h5py")
    values = np.arange(30, dtype=np.float32).reshape(5, 2, 3)
    with h5py.File(tmp_path / "values.h5", "w") as file:
        file["data"], file["label"] = values, np.arange(5, dtype=np.float32)
    (tmp_path / "list").write_text(f"{tmp_path}/values.h5\n")
    (tmp_path / "net.prototxt").write_text(
        f'layer {{ name: "in" type: "HDF5Data" top: "data" top: "label"'
        f' hdf5_data_param {{ source: "{tmp_path}/list" batch_size: 4 }} }}'
    )
    (tmp_path / "solver.prototxt").write_text(f'net: "{tmp_path}/net.prototxt" max_iter: 1')
    test = source(sc, str(tmp_path / "solver.prototxt"))
    rows = test.makeRDD(sc).collect()
    assert [row.data for row in rows] == values.tolist()
    assert CaffeOnSpark(sc).sqlContext.createDataFrame(rows).columns == ["id", "data", "label"]
    ids: list[str] = []
    data: list[Any] = []
    for row in rows:
        test.offer(row)
    assert test.nextBatch(ids, data)
    np.testing.assert_array_equal(data[0], values[:4])
    assert not test.nextBatch(ids, data)
    np.testing.assert_array_equal(data[1], [4])
    test.offer({"id": "x"})
    with pytest.raises(DataError, match="a sample is .id, data, label."):
        test.nextBatch(ids, data)
    test.close()


COS = """
layer {{ name: "in" type: "CoSData" top: "data" top: "words" top: "label"
        source_class: "com.yahoo.ml.caffe.DataFrameSource"
        cos_data_param {{ source: "{folder}/frame" batch_size: 4
          top {{ name: "data" type: RAW_IMAGE channels: 1 height: 2 width: 3
                transform_param {{ scale: 0.5 }} }}
          top {{ name: "words" type: INT_ARRAY channels: 3 sample_num_axes: 1 transpose: true }}
          top {{ name: "label" type: INT sample_num_axes: 0 }} }} }}
"""


def test_a_cos_data_layer(sc: Any, tmp_path: Path) -> None:
    """Rows with a value a top; words come time first, as the layer gives them."""
    pytest.importorskip("pyarrow")
    frame = CaffeOnSpark(sc).sqlContext.createDataFrame(
        [(f"{i}", bytearray(range(i, i + 6)), [i, i + 1, i + 2], i) for i in range(5)],
        "id string, data binary, words array<int>, label int",
    )
    frame.write.parquet(str(tmp_path / "frame"))
    (tmp_path / "net.prototxt").write_text(COS.format(folder=tmp_path))
    (tmp_path / "solver.prototxt").write_text(f'net: "{tmp_path}/net.prototxt" max_iter: 1')
    test = source(sc, str(tmp_path / "solver.prototxt"))
    assert (test.useCoSDataLayer(), test.getNumTops(), test.batchSize()) == (True, 3, 4)
    assert test.getTopDataType(1) == pb.CoSDataParameter.INT_ARRAY
    assert test.getTopTransformParam(0).scale == 0.5
    assert test.getTopTransformParam(1) is None
    rows = test.makeRDD(sc).collect()
    assert [row.id for row in rows] == ["0", "1", "2", "3", "4"]
    ids: list[str] = []
    data: list[Any] = test.dummyDataHolder()
    assert [each.shape for each in data] == [(4, 1, 2, 3), (3, 4), (4,)]
    for row in rows:
        test.offer(row)
    assert test.nextBatch(ids, data)
    assert ids == ["0", "1", "2", "3"]
    np.testing.assert_array_equal(data[0][1].ravel(), np.arange(1, 7) / 2)
    np.testing.assert_array_equal(data[1][:, 3], [3, 4, 5])
    np.testing.assert_array_equal(data[2].ravel(), range(4))
    test.close()
