"""Task rank: one rank of a training, here in threads; no Spark is needed."""

import importlib.util
from collections.abc import Callable
from concurrent.futures import Future, wait
from pathlib import Path
from threading import Thread
from typing import Any

import numpy as np
import pytest

from minicaffe import context
from minicaffe.distributed.auth import new_secret
from minicaffe.distributed.rendezvous import ThreadRendezvous
from minicaffe.errors import Error
from minicaffe.labs.plugin import close
from minicaffe.proto.files import read_solver

PATIENCE = 20  # seconds for a training of a small net


@pytest.fixture
def job(lab_folder: Path) -> Any:
    """The student's examples/job.py."""
    spec = importlib.util.spec_from_file_location("job", lab_folder / "examples" / "job.py")
    assert spec and spec.loader
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def training(job: Any, lab_folder: Path, ranks: int, batch: int, **more: Any) -> Any:
    """The Job of nets/circles_solver.prototxt with so many ranks and samples a rank."""
    param = read_solver(str(lab_folder / "nets" / "circles_solver.prototxt"))
    param.net_param.layer[0].memory_data_param.batch_size = batch
    given = {"sync": "allreduce", "device": "reference", **more}
    return job.Job(param.SerializeToString(), ranks, secret=new_secret(), **given)


def at_once(ranks: int, work: Callable[[int, ThreadRendezvous], Any]) -> list[Any]:
    """What `work(rank, rendezvous)` returned for each rank, a thread each; fails when one hangs."""
    found: dict[int, Future[Any]] = {rank: Future() for rank in range(ranks)}

    def live(rank: int, rendezvous: ThreadRendezvous) -> None:
        try:
            found[rank].set_result(work(rank, rendezvous))
        except BaseException as error:
            found[rank].set_exception(error)

    for rank, rendezvous in enumerate(ThreadRendezvous.of(ranks, timeout=PATIENCE)):
        Thread(target=live, args=(rank, rendezvous), daemon=True).start()
    waiting = wait(found.values(), timeout=PATIENCE).not_done
    late = [rank for rank, each in found.items() if each in waiting]
    assert not late, (
        f"{ranks} ranks: rank {late[0]} is not done after {PATIENCE} s: does it wait for one that"
        " has ended? Close the ring whatever happens: `with connect(...) as ring:`"
    )
    return [each.result() for each in found.values()]


def train(job: Any, what: Any) -> list[Any]:
    """What each rank has come to."""
    return at_once(what.ranks, lambda rank, meeting: job.train_rank(what, rank, meeting))


def test_two_ranks_are_one_with_twice_the_batch(job: Any, lab_folder: Path) -> None:
    """20 steps of 2 x 32 samples and of 1 x 64."""
    one = train(job, training(job, lab_folder, 1, 64))
    two = train(job, training(job, lab_folder, 2, 32))
    case = "20 steps, 2 ranks x 32 samples against 1 x 64"
    assert [(each.rank, each.iteration) for each in two] == [(0, 20), (1, 20)], (
        f"{case}: ranks and iterations are {[tuple(each[:2]) for each in two]}, expected [(0, 20),"
        " (1, 20)]: call solver.solve()"
    )
    close("weights", two[0].weights, one[0].weights, case, rtol=0, atol=1e-5)
    assert two[0].weights.tobytes() == two[1].weights.tobytes(), (
        f"{case}: the two ranks' weights are not equal bit by bit: is the sync among the callbacks?"
    )


def test_the_sync_that_was_asked_for(job: Any, lab_folder: Path) -> None:
    """Averaging every 20 steps gives other weights than the mean of gradients."""
    every = train(job, training(job, lab_folder, 2, 32))
    seldom = train(job, training(job, lab_folder, 2, 32, sync="sparknet:tau=20"))
    assert seldom[0].weights.tobytes() == seldom[1].weights.tobytes(), (
        "2 ranks, sparknet:tau=20, 20 steps: the ranks' weights differ"
    )
    assert np.abs(every[0].weights - seldom[0].weights).max() > 1e-3, (
        "2 ranks, 20 steps: sparknet:tau=20 gives the weights of allreduce: use job.sync"
    )


class Notes:
    """A callback that keeps what it is told."""

    def __init__(self) -> None:
        self.devices: list[str] = []
        self.equal: list[bool] = []

    def on_start(self, solver: Any) -> None:
        """Training begins; the sync comes first, so all have rank 0's weights."""
        self.devices.append(solver.device)

    def on_iteration(self, solver: Any, done: Any) -> None:
        """An iteration is made."""
        self.equal.append(True)


def test_device_and_callbacks(job: Any, lab_folder: Path) -> None:
    """The job's device is used, its callbacks are called, and the context is as it was."""
    notes = Notes()
    before = context.current()
    train_here = training(job, lab_folder, 1, 8, callbacks=(notes,))
    job.train_rank(train_here, 0, None)
    assert set(notes.devices) == {"reference"}, (
        f"1 rank, device reference: the solver ran on {set(notes.devices) or 'nothing'}: begin with"
        " `with context.fresh(job.device) as here:`, and add job.callbacks to the solver's"
    )
    assert len(notes.equal) == 20, (
        f"1 rank: its callback was called after {len(notes.equal)} iterations, expected 20"
    )
    assert context.current() is before, (
        "1 rank: the context of the thread is not what it was before: use context.fresh"
    )


class Broken:
    """A callback that fails on one rank."""

    def on_iteration(self, solver: Any, done: Any) -> None:
        """Fail in iteration 3 of rank 1."""
        if solver.rank == 1 and solver.iter == 3:
            raise ArithmeticError("on purpose")


def test_a_rank_that_fails_does_not_leave_the_others_waiting(job: Any, lab_folder: Path) -> None:
    """The ring is closed by whatever leaves train_rank; rank 0 is told by whom."""
    what = training(job, lab_folder, 2, 8, callbacks=(Broken(),))

    def outcome(rank: int, meeting: Any) -> Any:
        try:
            return job.train_rank(what, rank, meeting)
        except (Error, ArithmeticError) as error:
            return error

    first, second = at_once(2, outcome)
    assert isinstance(second, ArithmeticError), f"rank 1's own error became {second!r}"
    assert isinstance(first, Error), f"rank 0 did not notice that rank 1 failed: {first!r}"
    assert "rank 1" in str(first), f"rank 0's error does not name rank 1: {first}"
