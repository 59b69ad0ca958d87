"""What a training in local[2] gives home, and what it leaves behind, in every kind of end."""

import tempfile
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("pyspark")

from minicaffe.distributed.spark import CaffeOnSpark, Config, DataSource, driver
from minicaffe.errors import ClusterError, Error
from tests.spark_cluster import SmallSet, spark_context

pytestmark = pytest.mark.xdist_group("spark")


@pytest.fixture(scope="module")
def temporary(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """The temporary folder of driver and executors."""
    former, tempfile.tempdir = tempfile.tempdir, str(tmp_path_factory.mktemp("temporary"))
    yield Path(tempfile.tempdir)
    tempfile.tempdir = former


@pytest.fixture(scope="module")
def sc(temporary: Path) -> Iterator[Any]:
    with spark_context("local[2]") as sc:
        sc.environment["TMPDIR"] = str(temporary)
        yield sc


def train(sc: Any, solver: str, model: Path, *args: str) -> driver.Training:
    conf = Config(sc, ["-conf", solver, "-clusterSize", "2", "-model", str(model), *args])
    return CaffeOnSpark(sc).train(DataSource.getSource(conf, True))


def test_a_training_leaves_nothing_in_the_temporary_folder(
    sc: Any, small: SmallSet, temporary: Path
) -> None:
    model = small.folder / "m.caffemodel"
    train(sc, small.solver(max_iter=2), model)
    assert model.stat().st_size > 2000
    resumed = small.folder / "n.caffemodel"
    train(sc, small.solver(max_iter=2), resumed, "-weights", str(model))
    assert resumed.exists()
    assert list(temporary.iterdir()) == []


@pytest.mark.slow
def test_a_job_that_is_killed_leaves_no_weights_in_the_temporary_folder(
    sc: Any, small: SmallSet, temporary: Path
) -> None:
    model = small.folder / "m.caffemodel"
    train(sc, small.solver(max_iter=2), model)

    def kill() -> None:  # as the link in the Spark UI does
        while not csv.exists():
            time.sleep(0.05)
        for job in sc.statusTracker().getActiveJobsIds():
            sc._jsc.sc().cancelJob(job)

    csv = small.folder / "n.metrics.csv"
    thread = threading.Thread(target=kill)
    thread.start()
    with pytest.raises(ClusterError):
        train(
            sc, small.solver(max_iter=10**6), small.folder / "n.caffemodel", "-weights", str(model)
        )
    thread.join()
    assert list(temporary.iterdir()) == []
    assert not (small.folder / "n.caffemodel").exists()


def test_weights_of_another_net_are_refused(sc: Any, small: SmallSet) -> None:
    model = small.folder / "m.caffemodel"
    train(sc, small.solver(max_iter=1), model)
    net = small.folder / "other_net.prototxt"
    other = small.solver("other", max_iter=1)
    net.write_text(net.read_text().replace('"ip1"', '"fcA"').replace('"ip2"', '"fcB"'))
    message = r"none of its weights fits the net: it holds those of ip1, ip2, the net's .*fcA, fcB"
    with pytest.raises(Error, match=message):
        train(sc, other, small.folder / "n.caffemodel", "-weights", str(model))
    conf = Config(sc, ["-conf", other, "-model", str(model)])
    with pytest.raises(Error, match=message):
        CaffeOnSpark(sc).test(DataSource.getSource(conf, False))
    assert not (small.folder / "n.caffemodel").exists()
