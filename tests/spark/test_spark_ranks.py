"""Ranks of a training without Spark: threads, a ring of memory, control lines that take notes."""

import io
import os
import re
import shutil
import socket
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from minicaffe import context
from minicaffe.data.database import create_database, open_database
from minicaffe.distributed import validation
from minicaffe.distributed.communicator import Communicator
from minicaffe.distributed.rendezvous import ThreadRendezvous
from minicaffe.distributed.spark import driver, executor, preflight
from minicaffe.distributed.spark.config import Config
from minicaffe.distributed.spark.control import Message
from minicaffe.distributed.spark.portable import get_places, nets_of
from minicaffe.distributed.spark.preflight import plan_training
from minicaffe.distributed.spark.supervision import fault
from minicaffe.distributed.spark.supervision.roster import Roster
from minicaffe.distributed.spark.task_input import TrainJob
from minicaffe.distributed.spark.training_report import TrainingReport
from minicaffe.distributed.sync import known_syncs
from minicaffe.distributed.sync.allreduce import AllreduceSync
from minicaffe.distributed.validation import SharedTest
from minicaffe.errors import ClusterError, DeviceError, LayerError, SolverError
from minicaffe.monitor.progress import Progress
from minicaffe.proto import minicaffe_pb2 as pb
from minicaffe.proto.files import read_solver
from minicaffe.solver.create import create_solver
from minicaffe.solver.newest_snapshot import newest_complete_snapshot
from tests.kernels.test_kernels_jit import run
from tests.ranks import at_once, run_ranks
from tests.spark_cluster import SmallSet


class Cluster:
    """A SparkContext as far as a plan looks at it."""

    master = "local[4]"


class Notes:
    """A control line that keeps what is said."""

    host = "127.0.0.1"

    def __init__(self) -> None:
        self.said: list[dict[str, Any]] = []

    def say(self, kind: str, **fields: Any) -> None:
        self.said.append({"kind": kind, **fields})

    def ask_leave(self) -> None:
        pass

    def rows(self, name: str) -> list[Any]:
        return [each[name] for each in self.said if each["kind"] == "row"]


def train(
    small: SmallSet, solver: str, ranks: int, *args: str, scheme: str = "inproc"
) -> tuple[list[Notes], list[list[Any]]]:
    """Train on so many threads: what each said, and what each gave back."""
    conf = Config(Cluster(), ["-conf", solver, "-model", str(small.folder / "m"), *args])
    validate = bool(conf.solverParameter.test_iter)
    plan = plan_training(conf, validate)
    job = TrainJob(
        solver=plan.solver.SerializeToString(), places=get_places(nets_of(plan.solver)),
        files=plan.files, code=plan.code, weights=plan.weights,
        state=plan.state,
        seed=plan.solver.random_seed, world_size=ranks, devices=1, run="run", generation=0,
        secret=b"s", ports="", scheme=scheme,
        mac=plan.mac, crc=plan.crc, sync=plan.sync, device=plan.device,
        precision=plan.precision, data_threads=1,
        control=("", 0),
        model=plan.model, beacon="", stops_at_nan=conf.on_nan == "stop", log_level=(0, 0),
    )  # fmt: skip
    notes = [Notes() for _ in range(ranks)]
    meeting = ThreadRendezvous.of(ranks)

    def rank(number: int) -> Any:
        line: Any = notes[number]
        return lambda: list(executor.train_rank(job, number, meeting[number], line))

    results = at_once([rank(number) for number in range(ranks)])
    for result in results:
        if isinstance(result, BaseException):
            raise result
    return notes, results


def test_what_auto_has_chosen_is_said(small: SmallSet) -> None:
    notes, results = train(small, small.solver(), 2, scheme="auto")
    assert results == train(small, small.solver(), 2)[1], "the same weights as by any transport"
    screen = io.StringIO()
    report = TrainingReport("", 0, 10, resumed=False)
    report.progress = Progress(10, stream=screen)
    report.begin(2)
    for rank, of_rank in enumerate(notes):
        report.hear({"kind": "hello", "rank": rank, "host": "here", "pid": rank})
        joined = next(each for each in of_rank.said if each["kind"] == "joined")
        report.hear({"rank": rank, **joined})
    report.close()
    assert screen.getvalue().count("connection: shm (all 2 ranks are on one host)") == 1


def test_a_transport_without_its_card_ends_the_run_before_it_trains(
    small: SmallSet, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its line is what the run ends with; another attempt would end so too."""
    monkeypatch.setattr("minicaffe.distributed.transport.shm.missing", lambda: "no card; buy one")
    with pytest.raises(DeviceError) as raised:
        train(small, small.solver(), 2, scheme="shm")
    line: Any = Notes()
    executor.report_error(line, raised.value)
    error = fault.explain(None, [{"rank": 1, **line.said[0]}], set(), Roster())
    assert not isinstance(error, fault.Fault)
    host = socket.gethostname()
    assert str(error) == f"rank 1 on {host}: rank 0 has no shm on {host}: no card; buy one"


@pytest.mark.parametrize("ranks", [2, 3])
def test_weights_are_bit_equal_after_every_update(small: SmallSet, ranks: int) -> None:
    solver = small.solver(max_iter=12, more="average_loss: 3 clip_gradients: 1")
    Path(solver).write_text(Path(solver).read_text().replace("display: 5", "display: 1"))
    notes, results = train(small, solver, ranks)
    assert notes[0].rows("iteration") == list(range(12))
    for note in notes:
        assert note.rows("weights") == notes[0].rows("weights")
    assert len(set(notes[0].rows("weights"))) == 12
    assert results == [[(rank, 12, notes[0].rows("weights")[-1])] for rank in range(ranks)]
    assert (small.folder / "m").exists()


def test_a_rank_has_the_precision_of_its_job(
    small: SmallSet, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen = []

    def noting(*args: Any) -> Any:
        seen.append(context.current().precision)
        return create_solver(*args)

    monkeypatch.setattr(executor, "create_solver", noting)
    monkeypatch.setattr(preflight, "check_precision", lambda precision, device: None)
    for words in ([], ["-precision", "tf32"]):
        train(small, small.solver(max_iter=2), 2, *words)
    assert seen == ["float32"] * 2 + ["tf32"] * 2
    assert context.current().precision == "float32"


def test_a_snapshot_of_the_end_leaves_nothing_to_train(small: SmallSet) -> None:
    solver = small.solver(max_iter=4, more="snapshot: 4")
    train(small, solver, 1)
    (small.folder / "m").unlink()
    state = f"{small.folder}/small_iter_4.solverstate"
    with pytest.raises(ClusterError, match="of iteration 4, and max_iter is 4: .* nothing left"):
        train(small, solver, 1, "-snapshot", state)
    assert not (small.folder / "m").exists()


DROPOUT = 'layer { name: "drop" type: "Dropout" bottom: "ip1" top: "ip1" }'


@pytest.mark.parametrize("ranks", [1, 3])
@pytest.mark.parametrize("solver_type", ["SGD", "Adam"])
@pytest.mark.parametrize("extension", ["", ".h5"])
def test_resume_gives_the_same_bits(
    small: SmallSet, ranks: int, solver_type: str, extension: str
) -> None:
    if extension:
        pytest.importorskip("h5py")
    form = "snapshot_format: HDF5" if extension else ""
    more = f"snapshot: 7 test_iter: 2 test_interval: 3 {form}"

    def solver(name: str, max_iter: int) -> str:
        path = Path(small.solver(name, max_iter=max_iter, net=DROPOUT, more=more))
        text = path.read_text().replace('type: "SGD"', f'type: "{solver_type}"')
        path.write_text(text.replace("base_lr: 0.1", "base_lr: 0.01"))
        return str(path)

    straight, _ = train(small, solver("straight", 14), ranks)
    train(small, solver("half", 7), ranks)
    state = str(small.folder / f"small_iter_7.solverstate{extension}")
    resumed, _ = train(small, solver("straight", 14), ranks, "-snapshot", state)
    assert resumed[0].rows("weights") == straight[0].rows("weights")[-2:]
    tests = [each for each in straight[0].said if each["kind"] == "test"]
    again = [each for each in resumed[0].said if each["kind"] == "test"]
    assert [test["iteration"] for test in tests] == [0, 3, 6, 9, 12]
    assert again == tests[3:]


def test_resume_without_a_seed_gives_the_same_bits(small: SmallSet) -> None:
    def solver(max_iter: int) -> str:
        path = Path(small.solver(max_iter=max_iter, net=DROPOUT, more="snapshot: 7"))
        path.write_text(path.read_text().replace("random_seed: 17", ""))
        return str(path)

    straight, _ = train(small, solver(14), 2)
    resumed, _ = train(
        small, solver(14), 2, "-snapshot", str(small.folder / "small_iter_7.solverstate")
    )
    assert resumed[0].rows("weights") == straight[0].rows("weights")[-2:]


def test_resume_with_other_ranks_sees_what_the_first_would_have(small: SmallSet) -> None:
    straight, _ = train(small, small.solver("straight", max_iter=14, more="snapshot: 7"), 2)
    alone, _ = train(
        small, small.solver("alone", max_iter=14, batch=10), 1,
        "-snapshot", str(small.folder / "small_iter_7.solverstate"),
    )  # fmt: skip
    losses = np.array([note.rows("loss")[-2:] for note in straight]).mean(axis=0)
    np.testing.assert_allclose(alone[0].rows("loss"), losses, rtol=1e-4)


@pytest.mark.parametrize("way", ["sparknet:tau=4", "dl4j:k=4"])
def test_resume_gives_the_same_bits_where_ranks_train_apart(small: SmallSet, way: str) -> None:
    """The snapshot comes between two averagings, and so do the tests."""
    more = "snapshot: 7 test_iter: 2 test_interval: 3"
    straight, _ = train(small, small.solver("straight", max_iter=14, more=more), 3, "-sync", way)
    train(small, small.solver("half", max_iter=7, more=more), 3, "-sync", way)
    state = str(small.folder / "small_iter_7.solverstate")
    solver = small.solver("straight", max_iter=14, more=more)
    resumed, _ = train(small, solver, 3, "-snapshot", state, "-sync", way)
    assert resumed[0].rows("weights") == straight[0].rows("weights")[-2:]
    assert resumed[0].rows("weights")[-1] is not None, "the ranks end equal"
    assert resumed[0].rows("weights")[-1] == resumed[2].rows("weights")[-1]
    tests = [
        [each for each in run[0].said if each["kind"] == "test"] for run in (straight, resumed)
    ]
    assert tests[1] == tests[0][3:]


@pytest.mark.parametrize("way", known_syncs())
def test_every_way_learns(small: SmallSet, way: str) -> None:
    if way == "threshold":  # of a net as small as this the gradients are large
        way += ":threshold=0.03"
    notes, results = train(small, small.solver(max_iter=60), 2, "-sync", way)
    assert notes[0].rows("loss")[-1] < 0.5 * notes[0].rows("loss")[0]
    assert len({result[0][2] for result in results}) == 1
    for note in notes:
        for waited, seconds in zip(note.rows("waited"), note.rows("seconds"), strict=True):
            assert 0 <= waited <= seconds


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["-sync", "dl4"], "there is no such way; did you mean 'dl4j'?"),
        (["-sync", "dl4j", "-bucket", "one"], "-sync dl4j has no buckets, allreduce has"),
        (["-sync", "dl4j", "-compress", "bf16"], "-sync dl4j has no compression, allreduce has"),
        (["-compress", "bf8"], "compress=bf8: one of none, bf16, fp16 is expected"),
        (["-bucket", "big"], "bucket=big: auto, one, or a number of bytes is expected"),
    ],
)
def test_a_way_that_is_none_is_refused(small: SmallSet, words: list[str], said: str) -> None:
    with pytest.raises(ClusterError, match=re.escape(said)):
        train(small, small.solver(), 1, *words)


def test_gradients_that_fp16_cannot_hold_end_the_training(small: SmallSet) -> None:
    """They are infinite then, on all ranks; bf16 has the range of float32."""
    solver, net = Path(small.solver(max_iter=3)), small.folder / "solver_net.prototxt"
    solver.write_text(solver.read_text().replace("base_lr: 0.1", "base_lr: 1e-12"))
    loud = net.read_text().replace("num_output: 12", "num_output: 1000")  # more than 64 KiB
    net.write_text(
        loud.replace('type: "SoftmaxWithLoss"', 'type: "SoftmaxWithLoss" loss_weight: 1e9')
    )
    _, results = train(small, str(solver), 2, "-compress", "bf16")
    assert [result[0][1] for result in results] == [3, 3]
    with pytest.raises(SolverError, match="the gradients of iteration 0 are not finite"):
        train(small, str(solver), 2, "-compress", "fp16")


def test_frames_may_be_signed_and_checked(small: SmallSet, monkeypatch: pytest.MonkeyPatch) -> None:
    """The options reach the ring, and the weights are the same."""
    asked: list[tuple[bool, bool]] = []
    usual = executor.connect

    def connect(*args: Any, **settings: Any) -> Any:
        asked.append((settings["mac"], settings["crc"]))
        return usual(*args, **settings)

    monkeypatch.setattr(executor, "connect", connect)
    _, plain = train(small, small.solver(max_iter=5), 2)
    _, signed = train(small, small.solver(max_iter=5), 2, "-ring-mac", "-ring-crc", scheme="tcp")
    assert asked == [(False, False)] * 2 + [(True, True)] * 2
    assert signed == plain


def test_resume_finds_the_newest_snapshot_or_begins(
    small: SmallSet, caplog: pytest.LogCaptureFixture
) -> None:
    """And a run that was ended in between comes to the same bits."""
    straight, _ = train(small, small.solver("straight", max_iter=14), 2)
    train(small, small.solver("begun", max_iter=9, more="snapshot: 4"), 2, "-resume")
    assert f"no whole snapshot at {small.folder}/small: begins anew" in caplog.text
    (small.folder / "small_iter_9.solverstate").write_bytes(b"cut short")
    solver = small.solver("begun", max_iter=14, more="snapshot: 4")
    resumed, _ = train(small, solver, 2, "-resume")
    assert f"goes on from {small.folder}/small_iter_8.solverstate" in caplog.text
    assert resumed[0].rows("weights") == straight[0].rows("weights")[-2:]
    with pytest.raises(ClusterError, match="-resume finds the newest snapshot itself"):
        train(small, solver, 2, "-resume", "-snapshot", "x")


@pytest.mark.parametrize(("ranks", "seekable"), [(2, True), (3, True), (5, True), (2, False)])
def test_ranks_share_a_test_and_get_what_one_rank_gets(
    small: SmallSet, ranks: int, seekable: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Where a data layer cannot seek, rank 0 tests alone."""
    if not seekable:
        monkeypatch.setattr(validation, "can_seek", lambda net: False)
    solver = read_solver(small.solver(more="test_iter: 4 test_interval: 10"))

    def scores(ring: Communicator | None) -> list[dict[str, float] | None]:
        with context.fresh() as here:
            here.data_seed = 1
            if ring is not None:
                here.solver_rank, here.solver_count = ring.rank, ring.world_size
            tester = create_solver(solver)
            if ring is not None:
                sync = AllreduceSync(ring)
                tester.callbacks += [sync, SharedTest(ring, sync)]
            run = tester.callbacks.first("run_test") or (lambda _, index: tester.run_test(index))
            found = []
            for tester.iter in (0, 10, 20):
                result = run(tester, 0)
                found.append(result and result.by_name())
            tester.close()
            return found

    alone = scores(None)
    assert alone[0] != alone[1]  # each test goes on where the one before stopped
    for rank, shared in enumerate(run_ranks(ranks, scores)):
        if rank > 0 and not seekable:
            assert shared == [None] * 3
            continue
        for one, other in zip(alone, shared, strict=True):
            assert other == pytest.approx(one, rel=1e-5)


def test_ranks_with_different_weights_end_the_training() -> None:
    report = TrainingReport("", 0, 10, resumed=False)
    report.begin(2)
    row = {"kind": "row", "iteration": 5, "rank": 0, "weights": 1}
    report.hear(row)
    with pytest.raises(ClusterError, match="weights of the ranks differ after iteration 5"):
        report.hear({**row, "rank": 1, "weights": 2})


def report_of(rank: int, message: str, follows: bool) -> Message:
    return {"kind": "error", "rank": rank, "host": "host", "message": message, "follows": follows}


MISSED = report_of(0, "link closed", True)
BROKEN = report_of(1, "no such file", False)
DIED = "rank 1 on host (process 71), iteration 40, forward of layer 'ip1' (InnerProduct) was lost"


@pytest.mark.parametrize(
    ("spark_says", "errors", "lost", "told", "again"),
    [
        ("", [MISSED], {1}, f"{DIED}: its Python process died", True),
        ("rank 1 was lost with its executor: heartbeat", [MISSED], set[int](),
         f"{DIED} with its executor: heartbeat", True),
        ("link closed", [MISSED, BROKEN], {1}, "rank 1 on host: no such file", False),
        ("no such file", [BROKEN], {1}, "rank 1 on host: no such file", False),
        ("link closed", [MISSED], set[int](), "rank 0 on host: link closed; rank 1 on host", True),
        ("Job 3 cancelled", [], set[int](), "Job 3 cancelled", False),
    ],
)  # fmt: skip
def test_the_rank_that_failed_first_is_named(
    monkeypatch: pytest.MonkeyPatch,
    spark_says: str,
    errors: list[Message],
    lost: set[int],
    told: str,
    again: bool,
) -> None:
    """Whatever was heard first; what a rank says of itself would come again."""
    monkeypatch.setattr(fault, "reason_of", str)
    roster = Roster()
    for rank in range(2):
        roster.hear({"kind": "hello", "rank": rank, "host": "host", "pid": 70 + rank})
        doing = "forward of layer 'ip1' (InnerProduct)"
        roster.hear({"kind": "beat", "rank": rank, "iteration": 40, "doing": doing})
    error = RuntimeError(spark_says) if spark_says else None
    found = fault.explain(error, errors, lost, roster)
    assert str(found).startswith(told)
    assert isinstance(found, fault.Fault) == again


# --- what must not be lost ---------------------------------------------------------------------


def test_a_loss_that_is_not_finite_is_told_to_the_driver_once(
    small: SmallSet, monkeypatch: pytest.MonkeyPatch
) -> None:
    solver = small.solver(max_iter=6)
    Path(solver).write_text(Path(solver).read_text().replace("base_lr: 0.1", "base_lr: 1e30"))
    notes, _ = train(small, solver, 2, "-on_nan", "go")
    told = [[each for each in note.said if each["kind"] == "diverged"] for note in notes]
    assert [len(each) for each in told] == [1, 1]
    assert "is the first that is not finite" in told[0][0]["text"]
    report, shown = TrainingReport("", 0, 6, False), []
    monkeypatch.setattr(report, "say", shown.append)
    for rank, [message] in enumerate(told):
        report.hear({**message, "rank": rank})
    assert shown == [f"rank 0: {told[0][0]['text']}"]


ASTRAY = """
from numba import prange
from minicaffe.kernels.cpu._compile.jit import kernel

def forward(x, weight, bias, y, transpose):
    beyond(y.reshape(-1))

@kernel
def beyond(y):
    for i in prange(y.size):
        y[i + 1] = i
"""
CHECKED = """
from pathlib import Path
from minicaffe.distributed.spark.executor import report_error
from minicaffe.errors import Error
from tests.spark.test_spark_ranks import Notes, train
from tests.spark_cluster import SmallSet
small, line = SmallSet(Path("FOLDER")), Notes()
try:
    train(small, small.solver(max_iter=2), 1)
except Error as error:
    report_error(line, error)
print(line.said[0]["message"])
print("KernelError: " in line.said[0]["trace"], "DeviceError" in line.said[0]["trace"])
"""


@pytest.mark.parametrize("threads", ["1", "2"])
def test_a_checked_kernel_that_goes_astray_in_a_rank(tmp_path: Path, threads: str) -> None:
    """Checks are switched on before a process loads its first kernel: so in one of its own."""
    kernels = tmp_path / "mine" / "kernels" / "cpu"
    kernels.mkdir(parents=True)
    (kernels / "inner_product.py").write_text(ASTRAY)
    said = run(
        CHECKED.replace("FOLDER", str(tmp_path)),
        MINICAFFE_PATH=str(tmp_path / "mine"),
        NUMBA_BOUNDSCHECK="1",
        MINICAFFE_NUM_THREADS=threads,
    ).splitlines()
    place, told, _ = said[0].partition(":8, kernel beyond: it, or what it calls,")
    assert told and str(kernels / "inner_product.py").endswith(place)
    assert said[1] == "True False"


@pytest.mark.parametrize("fault", ["the rank's", "none"])
def test_a_missing_beacon_hides_no_cause(
    small: SmallSet, monkeypatch: pytest.MonkeyPatch, fault: str
) -> None:
    """The hidden file is removed while the job runs, with its folder or alone."""

    class Generation:
        regrows = False

        def __init__(self, training: Any, number: int, ranks: int, start: Any, beacon: str) -> None:
            self.beacon = Path(beacon)

        def run(self) -> list[Any]:
            if fault == "none":
                self.beacon.unlink()
                return [(0, 20, 1)]
            shutil.rmtree(self.beacon.parent)
            raise ClusterError("rank 0 on host: s_iter_5.caffemodel: cannot be written")

    monkeypatch.setattr(driver, "Generation", Generation)
    (small.folder / "out").mkdir()
    model = small.folder / "out" / "m.caffemodel"
    solver = small.solver(more="snapshot: 5")
    training = driver.Training(
        conf := Config(Cluster(), ["-conf", solver, "-model", str(model)]),
        plan_training(conf, False),
    )
    if fault == "none":
        training.run()
    else:
        with pytest.raises(ClusterError, match="s_iter_5.caffemodel: cannot be written"):
            training.run()


@pytest.mark.filterwarnings("ignore::RuntimeWarning")
@pytest.mark.parametrize("ranks", [1, 2])
def test_a_training_that_diverges_stops_and_brings_no_model(small: SmallSet, ranks: int) -> None:
    solver = Path(small.solver(max_iter=40))
    solver.write_text(solver.read_text().replace("base_lr: 0.1", "base_lr: 1e30"))
    with pytest.raises(SolverError, match="the state before is the snapshot of iteration 1 "):
        train(small, str(solver), ranks)
    assert newest_complete_snapshot(str(small.folder / "small")) is not None
    assert not (small.folder / "m").exists()


def test_a_record_with_a_wrong_label_is_named(small: SmallSet) -> None:
    """By its key, with the layer and the source that it came from."""
    with open_database(small.folder / "train") as old, create_database(small.folder / "bad") as new:
        for key, value in old.items():
            datum = pb.Datum.FromString(value)
            datum.label = 9 if key == b"00000017" else datum.label
            new.put(key, datum.SerializeToString())
    solver = small.solver()
    net = small.folder / "solver_net.prototxt"
    net.write_text(net.read_text().replace(f"{small.folder}/train", f"{small.folder}/bad"))
    with pytest.raises(LayerError, match=r"layer 'loss'.*label 9 of sample \d .*: record 00000017"
                       rf" of layer 'data', source {small.folder}/bad"):  # fmt: skip
        train(small, solver, 2)


def test_kernels_are_kept_in_sparks_folder_where_the_home_cannot_be_written(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "file").touch()
    monkeypatch.setenv("MINICAFFE_CACHE_DIR", str(tmp_path / "good"))
    monkeypatch.setenv("SPARK_LOCAL_DIRS", f"{tmp_path}/local,/other")
    executor.keep_kernels()
    assert os.environ["MINICAFFE_CACHE_DIR"] == str(tmp_path / "good")
    monkeypatch.setenv("MINICAFFE_CACHE_DIR", str(tmp_path / "file" / "bad"))
    executor.keep_kernels()
    assert os.environ["MINICAFFE_CACHE_DIR"] == f"{tmp_path}/local/minicaffe"


def test_a_solver_that_asks_for_a_card_is_told_where_it_computes(
    small: SmallSet, caplog: pytest.LogCaptureFixture
) -> None:
    conf = Config(Cluster(), ["-conf", small.solver(more="solver_mode: GPU")])
    plan_training(conf, False)
    assert "solver_mode: GPU, and the ranks compute on 'cpu': -device cuda" in caplog.text
