"""Task job: the barrier stage. One Spark session on this machine serves all tests."""

import importlib.util
import os
import signal
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from minicaffe.distributed.auth import new_secret
from minicaffe.errors import ClusterError
from minicaffe.labs.plugin import close
from minicaffe.proto.files import read_solver

SETTINGS = {
    "spark.ui.enabled": "false",
    "spark.log.level": "OFF",
    "spark.ui.showConsoleProgress": "false",
    "spark.driver.extraJavaOptions": "-XX:TieredStopAtLevel=1 -XX:+UseSerialGC",
}


@pytest.fixture(scope="module")
def sc() -> Iterator[Any]:
    """A SparkContext with two slots; the student's files are on its executors."""
    from pyspark import SparkConf, SparkContext

    from minicaffe.distributed.spark.session import session_of
    from minicaffe.machine.java import use_java

    use_java()
    conf = SparkConf().setMaster("local[2]").setAppName("lab spark").setAll([*SETTINGS.items()])
    context = SparkContext(conf=conf)
    try:
        yield session_of(context).sparkContext
    finally:
        context.stop()


@pytest.fixture(scope="module")
def job(request: pytest.FixtureRequest) -> Any:
    """The student's examples/job.py, whose functions travel to executors by value."""
    from pyspark import cloudpickle

    folder = Path(str(request.config.getoption("--lab-folder"))).absolute()
    spec = importlib.util.spec_from_file_location("job", folder / "examples" / "job.py")
    assert spec and spec.loader
    module = importlib.util.module_from_spec(spec)
    sys.modules["job"] = module
    spec.loader.exec_module(module)
    cloudpickle.register_pickle_by_value(module)
    cloudpickle.register_pickle_by_value(sys.modules[__name__])
    return module


def training(job: Any, lab_folder: Path, ranks: int, batch: int, **more: Any) -> Any:
    """The Job of nets/circles_solver.prototxt with so many ranks and samples a rank."""
    param = read_solver(str(lab_folder / "nets" / "circles_solver.prototxt"))
    param.net_param.layer[0].memory_data_param.batch_size = batch
    given = {"sync": "allreduce", "device": "reference", **more}
    return job.Job(param.SerializeToString(), ranks, secret=new_secret(), **given)


def test_two_ranks_are_one_with_twice_the_batch(sc: Any, job: Any, lab_folder: Path) -> None:
    """20 steps of 2 x 32 samples and of 1 x 64, as tasks of Spark."""
    two = job.train(sc, training(job, lab_folder, 2, 32))
    assert [each.rank for each in two or ()] == [0, 1], (
        f"2 ranks: train gives the results of ranks {[each.rank for each in two or ()]}, expected"
        " [0, 1]: a partition a rank, and its number is partitionId()"
    )
    (one,) = job.train(sc, training(job, lab_folder, 1, 64))
    case = "Spark, 20 steps, 2 ranks x 32 samples against 1 x 64"
    close("weights", two[0].weights, one.weights, case, rtol=0, atol=1e-5)
    assert two[0].weights.tobytes() == two[1].weights.tobytes(), (
        f"{case}: the two ranks' weights are not equal bit by bit"
    )


class Killer:
    """A callback that kills the process of one rank."""

    def on_iteration(self, solver: Any, done: Any) -> None:
        """In iteration 3 of rank 1."""
        if solver.rank == 1 and solver.iter == 3:
            os.kill(os.getpid(), signal.SIGKILL)


def test_a_killed_rank_is_named(sc: Any, job: Any, lab_folder: Path) -> None:
    """One sentence that names rank 1, and no pages of Java."""
    said = "none"
    try:
        job.train(sc, training(job, lab_folder, 2, 32, callbacks=(Killer(),)))
    except ClusterError as error:
        said = str(error)
    assert "rank 1" in said, f"rank 1 was killed; the error does not name it: {said[:200]}"
    assert len(said.splitlines()) == 1, (
        f"rank 1 was killed; the error has {len(said.splitlines())} lines, expected one: reason_of"
    )
