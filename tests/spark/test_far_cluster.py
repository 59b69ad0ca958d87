"""Everything far away, in executors of a cluster: data, nets, models, snapshots, results."""

import contextlib
from collections.abc import Iterator
from typing import Any

import pytest

pytest.importorskip("pyspark")

from minicaffe.distributed.spark import CaffeOnSpark, Config, DataSource, submit
from minicaffe.distributed.spark.session import context_of
from minicaffe.machine.file_system import exists, files_in, read_file
from minicaffe.machine.s3_settings import use_settings
from tests.far_files import hadoops_store
from tests.spark.test_far_files import digest, move
from tests.spark_cluster import SmallSet, spark_context

pytestmark = [
    pytest.mark.xdist_group("spark"),
    pytest.mark.slow,
    pytest.mark.timeout(400),
    pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::ResourceWarning"),
]


@pytest.fixture(scope="module")
def store() -> Iterator[tuple[str, dict[str, str]]]:
    with hadoops_store() as found:
        yield found


@pytest.fixture(scope="module")
def cluster(tmp_path_factory: pytest.TempPathFactory, store: Any) -> Iterator[Any]:
    """Two executors, processes of their own, whose session has the settings of S3."""
    folder = tmp_path_factory.mktemp("worker")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("SPARK_WORKER_DIR", str(folder))
        patch.setenv("MINICAFFE_COPIES", str(folder / "copies"))
        with spark_context("local-cluster[2,1,1024]") as sc:
            for name, value in store[1].items():
                sc._jsc.hadoopConfiguration().set(name, value)
            context_of(sc)
            yield sc
    use_settings(None)


def run(sc: Any, solver: str, folder: str) -> tuple[str, list[Any], bytes]:
    """Train and test by the command line, then extract features: weights, features, the test."""
    words = ["-conf", solver, "-model", f"{folder}/m.caffemodel", "-clusterSize", "2"]
    submit.run(sc, Config(sc, [*words, "-train", "-test", "-output", f"{folder}/result"]))
    conf = Config(sc, [*words, "-features", "ip2", "-label", "label"])
    rows = CaffeOnSpark(sc).features(DataSource.getSource(conf, False)).collect()
    return digest(f"{folder}/m.caffemodel"), rows, read_file(f"{folder}/result")


def test_a_far_run_is_a_near_one_bit_for_bit(cluster: Any, small: SmallSet, store: Any) -> None:
    far = f"{store[0]}/run"
    solver = move(small, far)
    found = run(cluster, solver, far)
    assert found == run(cluster, str(small.folder / "solver.prototxt"), str(small.folder))
    names = {each.name for each in files_in(far)}
    assert {f"small_iter_{i}.{kind}" for i in (6, 12) for kind in ("caffemodel", "solverstate")} | {
        "m.caffemodel", "m.metrics.csv", "m.training.html", "result",
    } <= names  # fmt: skip
    assert not [name for name in names if name.startswith(".")]
    events = files_in(f"{far}/m.tensorboard")
    with contextlib.suppress(ImportError):
        import tensorboardX  # noqa: F401

        assert len(events) == 1 and events[0].size > 100
    conf = Config(cluster, ["-conf", solver, "-model", f"{far}/n.caffemodel", "-clusterSize", "1",
                            "-snapshot", f"{far}/small_iter_6.solverstate"])  # fmt: skip
    CaffeOnSpark(cluster).train(DataSource.getSource(conf, True))
    assert exists(f"{far}/n.caffemodel")
