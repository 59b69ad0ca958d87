"""What runs on the executors: a rank of a training.

`train_partition` is the body of the barrier stage. It keeps nothing in module globals: the Python
worker that runs it may have run another rank before.
"""

from __future__ import annotations

import contextlib
import dataclasses
import functools
import logging
import os
import socket
import time
import traceback
import zlib
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from minicaffe import context
from minicaffe.device import check_available
from minicaffe.errors import ClusterError, CommunicationError, Error
from minicaffe.machine.cache_folder import can_be_made, kernel_folder
from minicaffe.machine.signals import enable_faulthandler
from minicaffe.machine.threads import set_num_threads
from minicaffe.machine.whole_file import fenced
from minicaffe.monitor.glog import glog
from minicaffe.net.net import Net
from minicaffe.solver.callbacks import Iteration
from minicaffe.solver.create import create_solver
from minicaffe.solver.solver import Solver

from ..rendezvous import Rendezvous, SparkRendezvous, connect
from ..sync import Sync, create_sync
from ..validation import SharedTest
from .control import ControlLine, compilations_told
from .files.desk import JobFiles
from .files.model_home import ModelHome, check_alike
from .shipping.user_code import importable
from .supervision.checkup import versions
from .supervision.heartbeat import beating
from .supervision.members import run_members
from .task_input import TrainJob, task_folder

log = logging.getLogger("minicaffe.spark")

SILENCE = 120.0  # seconds that a rank may be busy with what the others wait for, such as compiling
TICK = 0.25  # seconds between two signs of life of rank 0

Answer = tuple[int, int, int]  # what a rank gives back: rank, iterations, checksum of its weights


# --- training ------------------------------------------------------------------------------------


def train_partition(job: TrainJob, rows: Iterator[Any]) -> Iterator[Answer]:
    """The task of one rank in the barrier stage."""
    from pyspark import BarrierTaskContext

    task = BarrierTaskContext.get()
    enable_faulthandler()
    use_threads(max(task.cpus() // job.devices, 1))
    keep_kernels()
    rank, meeting = task.partitionId(), SparkRendezvous(task)
    if job.devices == 1:
        yield from train_member(job, rank, job.device, meeting)
    else:
        body = functools.partial(train_member, job)
        yield from run_members(body, job.devices, job.device, rank, meeting)


def train_member(job: TrainJob, rank: int, device: str, rendezvous: Rendezvous) -> Iterator[Answer]:
    """Train as one member of the ring, and tell the driver what becomes of it."""
    job = dataclasses.replace(job, device=device)
    with executor_log(job.log_level[0 if rank == 0 else 1]):
        line = ControlLine(job.control, job.run, job.generation, job.secret, rank)
        with contextlib.closing(line), beating(line):
            here = {"host": socket.gethostname(), "pid": os.getpid()}
            line.say("hello", **here, versions=versions())
            try:
                yield from train_rank(job, rank, rendezvous, line)
            except GeneratorExit:
                raise
            except BaseException as error:
                report_error(line, error)
                raise


def report_error(line: ControlLine, error: BaseException) -> None:
    """Tell the driver why this rank gives up; what follows from another's fault is marked so."""
    line.say(
        "error",
        host=socket.gethostname(),
        message=sentence_of(error),
        # A pipe to the executor's JVM breaks when that is killed.
        follows=isinstance(error, CommunicationError | ConnectionError | EOFError),
        trace=traceback.format_exc(),
    )


def sentence_of(error: BaseException) -> str:
    """An error in one sentence: what a user's layer raises has a note that names layer and line."""
    if isinstance(error, Error):
        return str(error)
    notes: Sequence[str] = getattr(error, "__notes__", ())
    return next(iter(notes), f"{type(error).__name__}: {error}")


def train_rank(
    job: TrainJob, rank: int, rendezvous: Rendezvous, line: ControlLine
) -> Iterator[Answer]:
    """Train as one rank, and bring the model home as rank 0; gives what the rank has come to."""
    with (
        task_folder() as folder,
        context.fresh(job.device, job.precision) as here,
        contextlib.ExitStack() as at_end,
    ):
        check_available(job.device)
        here.solver_rank, here.solver_count, here.data_seed = rank, job.world_size, job.seed
        here.data_threads = job.data_threads
        communicator = connect(
            rendezvous,
            rank,
            job.world_size,
            f"{job.scheme}://{_bracketed(line.host)}:{job.ports or 0}",
            secret=job.secret,
            run=job.run,
            generation=job.generation,
            timeout=SILENCE,
            mac=job.mac,
            crc=job.crc,
        )
        at_end.callback(communicator.close)
        line.left = communicator.close  # given up by the driver: no more of the ring, nor of files
        at_end.enter_context(fenced(line.ask_leave))
        at_end.enter_context(compilations_told(line))
        line.say("joined", links=communicator.links)
        files = at_end.enter_context(JobFiles(job.call, rank))
        param, *state = job.unpack(folder, files)
        at_end.enter_context(importable(job.code, folder))
        home = ModelHome(job.model, job.beacon, job.call)
        if rank == 0 and not home.near and (param.snapshot > 0 or param.snapshot_after_train):
            raise _snapshots_elsewhere(job.beacon)
        if rank == 0 and not home.near:
            param.ClearField("snapshot_prefix")  # there is no place for a last snapshot either
        solver = create_solver(param)
        at_end.callback(solver.close)
        solver.stops_at_nan = job.stops_at_nan
        if rank == 0:
            home.check_room(solver)
            if job.generation == 0:
                for match in solver.matches:
                    line.say("weights", text=str(match))
        sync = create_sync(job.sync, communicator)
        at_end.callback(sync.close)
        solver.callbacks += [sync, Reporter(line, solver, sync)]
        if job.world_size > 1:
            solver.callbacks.append(SharedTest(communicator, sync))
        line.asked = solver.request
        solver.solve(*state)
        bad = [why for layer in feeding_layers(solver.net) for why in layer.batches.bad.values()]
        line.say("end", left_out=len(bad), reasons=bad[:3])
        check_alike(communicator, checksum_of(solver.net))
        if rank == 0 and solver.iter == param.max_iter:
            home.bring(solver)
        yield rank, solver.iter, checksum_of(solver.net)


class Reporter:
    """The solver's callback that tells the driver how it goes."""

    def __init__(self, line: ControlLine, solver: Solver, sync: Sync) -> None:
        param = solver.param
        self.line = line
        self.sync = sync
        self.every = param.display or max(param.max_iter // 20, 1)
        self.last = param.max_iter - 1
        self.samples = 0
        self.seconds = 0.0
        self.waited = 0.0
        self.seen: float | None = None  # sync.waited after the last iteration
        self.began = 0.0
        self.told = 0.0

    def on_start(self, solver: Solver) -> None:
        """Count the waiting between two iterations too, where the ranks agree on requests.

        What was waited before the first one, to become equal, belongs to none.
        """
        if self.seen is None:
            self.waited = self.sync.waited
        else:
            self.seconds += self.sync.waited - self.seen
        self.began = time.perf_counter()

    def on_iteration(self, solver: Solver, done: Iteration) -> None:
        """A row of every rank at a display and at the end; in between a tick of rank 0."""
        self.samples += done.samples
        self.seconds += time.perf_counter() - self.began  # with an averaging after the update
        self.seen = self.sync.waited
        row = done.number % self.every == 0 or done.number == self.last
        now = time.monotonic()
        if not row and (not solver.root or now - self.told < TICK):
            return
        self.line.say(
            "row" if row else "tick",
            iteration=done.number,
            loss=done.smoothed_loss,
            lr=done.lr,
            samples=self.samples,
            seconds=self.seconds,
            waited=self.sync.waited - self.waited,
            weights=checksum_of(solver.net) if row and self.sync.equal else None,
        )
        if row:
            self.samples, self.seconds, self.waited = 0, 0.0, self.sync.waited
        self.told = now

    def on_divergence(self, text: str) -> None:
        """Where this rank's loss ceased to be finite; the log of the executor has it too."""
        log.info("%s", text)
        self.line.say("diverged", text=text)

    def on_snapshot(self, solver: Solver, path: str) -> None:
        """The state's path of a snapshot that is whole; the root has written it."""
        self.line.say("snapshot", iteration=solver.iter, path=path)

    def on_test(self, solver: Solver, index: int, results: dict[str, float]) -> None:
        """The means of a test, from rank 0."""
        if solver.root:
            self.line.say("test", iteration=solver.iter, net=index, values=results)


def checksum_of(net: Net) -> int:
    """The CRC-32 of all learnable parameters: equal on all ranks, or something is wrong."""
    weights: NDArray[np.float32] = net.flat_params.data.read("cpu")
    return zlib.crc32(weights.data)


def _snapshots_elsewhere(beacon: str) -> ClusterError:
    """Snapshots are written by rank 0: it must see the folder that the driver sees."""
    return ClusterError(
        f"snapshots go to {os.path.dirname(beacon)}, which is not the same folder on the"
        " executors: put -model on a shared file system, or set snapshot: 0 in the solver"
    )


def _bracketed(host: str) -> str:
    return f"[{host}]" if ":" in host else host


# --- of every task ------------------------------------------------------------------------------


def feeding_layers(net: Net) -> Sequence[Any]:
    """The layers that read a data source."""
    return [node.layer for node in net.nodes if node.batches is not None]


def use_threads(cpus: int) -> None:
    """Run kernels on as many threads as the task has cpus, unless MINICAFFE_NUM_THREADS is set."""
    if not os.environ.get("MINICAFFE_NUM_THREADS"):
        set_num_threads(cpus)


def keep_kernels() -> None:
    """Keep compiled kernels in Spark's local folder where the usual one cannot be written."""
    local = os.environ.get("SPARK_LOCAL_DIRS", "").partition(",")[0]
    if local and not can_be_made(kernel_folder()):
        os.environ["MINICAFFE_CACHE_DIR"] = os.path.join(local, "minicaffe")


@contextlib.contextmanager
def executor_log(level: int) -> Iterator[None]:
    """Caffe's log lines on standard error, from this level on."""
    with glog():
        logging.getLogger("minicaffe").setLevel(level)
        yield
