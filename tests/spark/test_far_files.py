"""Trainings whose files all lie in an object store or in HDFS: the weights of one on a disk."""

import hashlib
from collections.abc import Iterator
from pathlib import Path

import pytest

from minicaffe.distributed.spark.config import Config
from minicaffe.distributed.spark.output import check_output, write_test
from minicaffe.distributed.spark.preflight import plan_forward, plan_training
from minicaffe.errors import ClusterError, DataError, Error
from minicaffe.machine.file_system import files_in, read_file, upload
from minicaffe.proto import minicaffe_pb2 as pb
from minicaffe.proto.blob_proto import blob_from_proto
from tests.far_files import object_store
from tests.hdfs_server import hdfs
from tests.spark.test_spark_ranks import Cluster, train
from tests.spark_cluster import SmallSet

pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::ResourceWarning")


@pytest.fixture
def small(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> SmallSet:
    monkeypatch.setenv("MINICAFFE_COPIES", str(tmp_path / "copies"))
    return SmallSet(tmp_path)


@pytest.fixture(scope="module")
def bucket() -> Iterator[str]:
    with object_store() as url:
        yield url


def move(small: SmallSet, folder: str) -> str:
    """Put data, mean file, net and solver into a far folder; the solver's URL."""
    mean = pb.BlobProto(num=1, channels=1, height=6, width=6, data=[7.0] * 36)
    (small.folder / "mean").write_bytes(mean.SerializeToString())
    solver = Path(small.solver(max_iter=12, more="snapshot: 6"))
    net = small.folder / "solver_net.prototxt"
    text = net.read_text().replace("{ scale:", f'{{ mean_file: "{small.folder}/mean" scale:')
    net.write_text(text)
    far_net = text.replace(f'"{small.folder}/', f'"{folder}/')
    (small.folder / "far_net").write_text(far_net)
    far_solver = solver.read_text().replace(f"{small.folder}/solver_net", "solver_net")
    (small.folder / "far_solver").write_text(far_solver)
    for name in ("train", "test"):
        upload(small.folder / name / "data.mdb", f"{folder}/{name}/data.mdb")
    upload(small.folder / "mean", f"{folder}/mean")
    upload(small.folder / "far_net", f"{folder}/solver_net.prototxt")
    upload(small.folder / "far_solver", f"{folder}/solver.prototxt")
    return f"{folder}/solver.prototxt"


def digest(url: str) -> str:
    """Of the weights alone: a model's file names the source of its data too."""
    found = hashlib.sha256()
    for layer in pb.NetParameter.FromString(read_file(url)).layer:
        for blob in layer.blobs:
            found.update(blob_from_proto(blob).tobytes())
    return found.hexdigest()


def check_same_weights(small: SmallSet, folder: str) -> None:
    far = move(small, folder)
    train(small, str(small.folder / "solver.prototxt"), 2)
    train(small, far, 2, "-model", f"{folder}/m.caffemodel")
    near = digest(str(small.folder / "m"))
    assert digest(f"{folder}/m.caffemodel") == near
    names = [each.name for each in files_in(folder)]
    assert [name for name in names if "_iter_" in name] == [
        f"small_iter_{i}.{what}" for i in (12, 6) for what in ("caffemodel", "solverstate")
    ]
    train(small, far, 2, "-model", f"{folder}/n.caffemodel",
          "-snapshot", f"{folder}/small_iter_6.solverstate")  # fmt: skip
    assert digest(f"{folder}/n.caffemodel") == near
    job = plan_forward(Config(Cluster(), ["-conf", far, "-model", f"{folder}/n.caffemodel"]), ())
    assert job.weights.size == len(read_file(f"{folder}/n.caffemodel"))
    copies = small.folder / "copies"
    assert len(list(copies.glob("*/train"))) == 1  # for both ranks of both trainings


def test_everything_may_lie_in_an_object_store(small: SmallSet, bucket: str) -> None:
    check_same_weights(small, f"{bucket}/run")


def test_what_is_missing_there_is_said_before_the_training(small: SmallSet, bucket: str) -> None:
    solver = small.solver()

    def plan(*args: str) -> None:
        plan_training(Config(Cluster(), ["-conf", solver, *args]), False)

    with pytest.raises(ClusterError, match=f"no solver prototxt {bucket}/none"):
        plan("-conf", f"{bucket}/none")
    with pytest.raises(ClusterError, match="s3a://nowhere/m.* cannot be written: its bucket"):
        plan("-model", "s3a://nowhere/m")
    with pytest.raises(Error, match=f"-weights: {bucket}/w: cannot be read: there is no"):
        plan("-weights", f"{bucket}/w")
    net = small.folder / "solver_net.prototxt"
    for url, message in (
        (f"{bucket}/none_lmdb", f"no database at {bucket}/none_lmdb"),
        ("hdfs:///data/train_lmdb", "'hdfs:///data/train_lmdb' names no NameNode"),
    ):
        net.write_text(net.read_text().replace(f"{small.folder}/train", url))
        with pytest.raises(DataError, match=message):
            plan()
        net.write_text(net.read_text().replace(url, f"{small.folder}/train"))


def test_the_output_of_a_test_lies_there_too(bucket: str) -> None:
    conf = Config(Cluster(), ["-test", "-output", f"{bucket}/result.txt"])
    check_output(conf)
    write_test(conf, {"accuracy": [0.75]})
    assert read_file(f"{bucket}/result.txt") == b"accuracy: 0.75\n"
    with pytest.raises(ClusterError, match="result.txt exists already"):
        check_output(conf)


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_everything_may_lie_in_hdfs(
    small: SmallSet, tmp_path_factory: pytest.TempPathFactory
) -> None:
    pytest.importorskip("hdfs_native", reason="hdfs-native is not installed")
    with hdfs(tmp_path_factory.mktemp("hdfs")) as url:
        check_same_weights(small, f"{url}/run")
        with pytest.raises(DataError, match=f"{url}/none: cannot be read: there is no such file"):
            read_file(f"{url}/none")
