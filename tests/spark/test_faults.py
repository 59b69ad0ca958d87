"""Faults in local[2]: a rank dies, stops or fails; the run ends with the bits it would have had."""

import os
import re
import signal
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("pyspark")

from benchmarks.spark_kills import Runs, kill
from minicaffe.distributed.spark import CaffeOnSpark, Config, DataSource, driver
from minicaffe.distributed.spark.doctor import Finding, examine
from minicaffe.distributed.spark.executor import report_error
from minicaffe.distributed.spark.preflight import plan_training
from minicaffe.distributed.spark.supervision.checkup import difference
from minicaffe.distributed.spark.supervision.fault import Fault, explain
from minicaffe.distributed.spark.supervision.roster import Roster
from minicaffe.errors import ClusterError
from minicaffe.proto.files import read_net_binary
from minicaffe.solver.newest_snapshot import newest_complete_snapshot
from tests.small_disk import small_disk
from tests.spark_cluster import SmallSet, spark_context

pytestmark = pytest.mark.xdist_group("spark")

# A layer that passes its bottom on, and once, in iteration 12 of rank 1, does something else.
LAYER = """
import os, signal, minicaffe as caffe
class Trouble(caffe.Layer):
    def setup(self, bottom, top):
        self.passes = 0
    def reshape(self, bottom, top):
        top[0].reshape(*bottom[0].data.shape)
    def forward(self, bottom, top):
        self.passes += 1
        top[0].data[...] = bottom[0].data
        if caffe.solver_rank() == 1 and self.passes == 12:
            try:
                os.close(os.open("{folder}/done", os.O_CREAT | os.O_EXCL))
            except FileExistsError:
                return
            {trouble}
    def backward(self, top, down, bottom):
        bottom[0].diff[...] = top[0].diff
"""
NODE = """layer {{ name: "trouble" type: "Python" bottom: "ip1" top: "troubled"
        python_param {{ module: "{module}" layer: "Trouble" }} }}"""


@pytest.fixture(scope="module")
def sc() -> Iterator[Any]:
    with spark_context("local[2]") as sc:
        yield sc


@pytest.fixture
def small(tmp_path: Path) -> SmallSet:
    return SmallSet(tmp_path)


def train(sc: Any, small: SmallSet, trouble: str, *args: str, more: str = "") -> driver.Training:
    """Train 20 iterations on two ranks with such a layer; the model is `m` of the folder."""
    (small.folder / "trouble.py").write_text(LAYER.format(folder=small.folder, trouble=trouble))
    node = NODE.format(module="trouble")
    solver = small.solver(net=node, more=more)
    text = (small.folder / "solver_net.prototxt").read_text()
    text = text.replace('name: "ip2" type: "InnerProduct" bottom: "ip1"',
                        'name: "ip2" type: "InnerProduct" bottom: "troubled"')  # fmt: skip
    (small.folder / "solver_net.prototxt").write_text(text)
    conf = Config(sc, ["-conf", solver, "-clusterSize", "2", "-train",
                       "-model", str(small.folder / "m"), *args])  # fmt: skip
    return CaffeOnSpark(sc).train(DataSource.getSource(conf, True))


def weights(small: SmallSet) -> list[bytes]:
    layers = read_net_binary(small.folder / "m").layer
    return [blob.SerializeToString() for layer in layers for blob in layer.blobs]


@pytest.fixture(scope="module")
def undisturbed(sc: Any, tmp_path_factory: pytest.TempPathFactory) -> list[bytes]:
    """The weights of the same run without trouble."""
    small = SmallSet(tmp_path_factory.mktemp("undisturbed"))
    train(sc, small, "pass")
    return weights(small)


@pytest.mark.parametrize(("snapshots", "start"), [("", 0), ("snapshot: 5", 10)])
def test_a_rank_that_dies_is_replaced_and_nothing_changes(
    sc: Any, small: SmallSet, undisturbed: list[bytes], snapshots: str, start: int,
    capsys: pytest.CaptureFixture[str],
) -> None:  # fmt: skip
    training = train(sc, small, "os.kill(os.getpid(), signal.SIGKILL)", more=snapshots)
    assert weights(small) == undisturbed
    assert [row["iteration"] for row in training.metrics.rows] == [0, 5, 10, 15, 19]
    assert len(training.report.recoveries) == 1
    told = capsys.readouterr().err
    assert re.search(
        r"^generation 0: rank 1 on \S+ \(process \d+\).* was lost: its Python process died$",
        told, re.MULTILINE,
    )  # fmt: skip
    assert re.search(rf"^generation 1: 2 ranks from .*, iteration {start}$", told, re.MULTILINE)


def test_a_rank_that_is_stopped_is_named_and_replaced(
    sc: Any, small: SmallSet, undisturbed: list[bytes], capsys: pytest.CaptureFixture[str]
) -> None:
    trouble = "import time; time.sleep(1.5); os.kill(os.getpid(), signal.SIGSTOP)"
    train(sc, small, trouble, "-timeout", "2")
    assert weights(small) == undisturbed
    found = re.search(
        r"^generation 0: rank 1 on \S+ \(process (\d+)\), iteration 11, forward of layer 'trouble'"
        r" \(Python\) has given no sign of life for 2 s$",
        capsys.readouterr().err, re.MULTILINE,
    )  # fmt: skip
    assert found
    with pytest.raises(ProcessLookupError):  # it is not left behind
        os.kill(int(found[1]), signal.SIGCONT)


def test_what_would_come_again_is_not_tried_again(
    sc: Any, small: SmallSet, capsys: pytest.CaptureFixture[str]
) -> None:
    began = time.monotonic()
    with pytest.raises(ClusterError, match=r"rank 1 on \S+: layer 'trouble'.* ZeroDivisionError"):
        train(sc, small, "1 / 0")
    assert time.monotonic() - began < 20
    assert "generation" not in capsys.readouterr().err
    assert not (small.folder / "m").exists()


def test_too_little_disk_is_said_before_the_first_iteration(sc: Any, small: SmallSet) -> None:
    wide = small.solver(max_iter=20).removesuffix("solver.prototxt") + "solver_net.prototxt"
    text = Path(wide).read_text().replace("num_output: 12", "num_output: 4000")  # 656 KB
    Path(wide).write_text(text)
    with small_disk(small.folder / "disk", 512) as disk:
        conf = Config(sc, ["-conf", str(small.folder / "solver.prototxt"), "-clusterSize", "2",
                           "-model", str(disk / "m")])  # fmt: skip
        training = driver.Training(conf, plan_training(conf, False))
        with pytest.raises(ClusterError, match=r"-model needs 0\.7 MB in \S+/disk, where 0\.5 MB"):
            training.run()
        assert training.metrics.rows == []
        assert os.listdir(disk) == []


@pytest.mark.slow
def test_a_disk_that_fills_ends_the_run_and_spares_what_is_there(
    sc: Any, small: SmallSet, capsys: pytest.CaptureFixture[str]
) -> None:
    """While iteration 12 is made somebody takes all the room; the next snapshot is due at 15."""
    with small_disk(small.folder / "disk", 512) as disk:
        trouble = f"from tests.small_disk import fill; fill(__import__('pathlib').Path('{disk}'))"
        line = r"^rank 0 on \S+: \S+/disk/small_iter_15\.\S+: cannot be written: No space left on"
        with pytest.raises(ClusterError, match=line):
            train(sc, small, trouble, "-model", str(disk / "m"), more="snapshot: 5")
        newest = newest_complete_snapshot(str(disk / "small"))
        assert newest == str(disk / "small_iter_10.solverstate")
        names = sorted(os.listdir(disk))
        assert [name for name in names if name.startswith(".") or "_15" in name] == []
    assert "generation 1" not in capsys.readouterr().err  # it would come again


@pytest.mark.slow
def test_a_fault_that_comes_again_and_again_ends_the_run(
    sc: Any, small: SmallSet, capsys: pytest.CaptureFixture[str]
) -> None:
    trouble = f"os.unlink('{small.folder}/done'); os.kill(os.getpid(), signal.SIGKILL)"
    with pytest.raises(ClusterError, match=r"was lost.* \(2 faults.*-maxRestarts is 1\)"):
        train(sc, small, trouble, "-maxRestarts", "1")
    assert capsys.readouterr().err.count("generation 1: 2 ranks") == 1


@pytest.mark.slow
@pytest.mark.parametrize("effect", ["stop", "snapshot"])
def test_an_interrupt_writes_a_snapshot(
    sc: Any, small: SmallSet, effect: str, capsys: pytest.CaptureFixture[str]
) -> None:
    """... and ends the ranks, or goes on, as -sigint_effect says; the session can be used after."""
    rounds = 1000000 if effect == "stop" else 1500
    conf = Config(sc, ["-conf", small.solver(max_iter=rounds, more="snapshot: 1000000"),
                       "-clusterSize", "2", "-train", "-model", str(small.folder / "m"),
                       "-sigint_effect", effect])  # fmt: skip
    training = driver.Training(conf, plan_training(conf, False))

    def interrupt() -> None:
        while not (training.attempt and training.attempt.reached > 5):
            time.sleep(0.01)
        signal.raise_signal(signal.SIGINT)

    thread = threading.Thread(target=interrupt)
    thread.start()
    began = time.monotonic()
    if effect == "stop":
        with pytest.raises(KeyboardInterrupt):
            training.run()
        assert not (small.folder / "m").exists()
        assert "to go on: -resume, from " in capsys.readouterr().err
    else:
        training.run()
    assert time.monotonic() - began < 60
    thread.join()
    state = training.snapshots.newest().state
    assert state is not None
    assert state.iter > 5
    train(sc, small, "pass")


@pytest.mark.slow
@pytest.mark.timeout(300)
def test_ranks_killed_at_any_moment(sc: Any, tmp_path: Path) -> None:
    """Each run ends with its bits; it may be over before the moment of a kill has come."""
    runs = Runs(sc, tmp_path, kill, seed=time.time_ns())
    assert all(runs.disturbed(kills=5) for _ in range(3))
    assert runs.kills >= 3


@pytest.mark.parametrize(
    ("error", "mends"),
    [(BrokenPipeError(32, "Broken pipe"), True), (EOFError(), True), (ValueError("no"), False)],
)
def test_a_pipe_to_a_killed_executor_is_a_fault(error: Exception, mends: bool) -> None:
    """Its Python process may live for a moment longer, and tell what it met."""

    class Line:
        def say(self, kind: str, **fields: Any) -> None:
            said.append({"kind": kind, "rank": 0, **fields})

    said: list[dict[str, Any]] = []
    report_error(Line(), error)  # type: ignore[arg-type]
    assert isinstance(explain(None, said, set(), Roster()), Fault) == mends


# --- the doctor --------------------------------------------------------------------------------


def table(sc: Any, small: SmallSet, solver: str, ranks: int = 2) -> dict[str, Finding]:
    conf = Config(sc, ["-conf", solver, "-clusterSize", str(ranks)])
    return {finding.subject: finding for finding in examine(sc, conf)}


def test_the_doctor_finds_all_well(sc: Any, small: SmallSet) -> None:
    found = table(sc, small, small.solver())
    assert list(found) == [
        "java", "spark", "settings", "training", "slots", "executors", "versions", "line", "data",
        "cache", "memory",
    ]  # fmt: skip
    assert all(finding.well for finding in found.values()), list(map(str, found.values()))
    assert "numpy" in found["versions"].words
    assert str(found["slots"]) == "ok    slots     for 2 ranks, 2 are asked for"


def test_the_doctor_names_what_is_wrong(sc: Any, small: SmallSet) -> None:
    solver = small.solver()
    net = small.folder / "solver_net.prototxt"
    net.write_text(net.read_text().replace('/test"', '/nowhere"'))
    found = table(sc, small, solver, ranks=3)
    wrong = {subject: finding.words for subject, finding in found.items() if not finding.well}
    assert list(wrong) == ["slots"]
    assert wrong["slots"].startswith("3 ranks are asked for, local[2] has slots for 2: use")
    net.write_text(net.read_text().replace('/train"', '/nowhere"'))
    found = table(sc, small, solver)
    assert str(found["training"]).startswith("FAIL  training  no LMDB at")


def test_versions_that_differ_are_told() -> None:
    same = {"python": "3.11.7", "numpy": "2.4.6"}
    assert difference({"rank 0": same, "rank 1": dict(same)}) == ""
    assert difference({"a": same, "b": same | {"numpy": "2.0.0"}, "c": same}).startswith(
        "b has numpy 2.0.0, a has 2.4.6: ranks with different versions do not compute the same"
    )
    assert difference({"a": same, "b": {"python": "3.11.7"}}).startswith("b has numpy none, a has")
