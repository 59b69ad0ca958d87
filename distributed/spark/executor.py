"""What runs on the executors: a rank of a training, and a part of a test or of a feature job.

`train_partition` is the body of the barrier stage. It keeps nothing in module globals: the Python
worker that runs it may have run another rank before.
"""

from __future__ import annotations

import contextlib
import logging
import os
import socket
import tempfile
import time
import traceback
import zlib
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from minicaffe import context
from minicaffe.cli._log import glog
from minicaffe.errors import ClusterError, CommunicationError, DataError, Error
from minicaffe.layer import Layer
from minicaffe.net import Net
from minicaffe.proto import minicaffe_pb2 as pb
from minicaffe.snapshot import load_weights, save_weights, save_weights_hdf5
from minicaffe.solver import Solver, create_solver
from minicaffe.solver_callbacks import Iteration

from ..rendezvous import Rendezvous, SparkRendezvous, connect
from ..sync.allreduce import AllreduceSync
from ..sync.shared_test import SharedTest
from .control import ControlLine
from .jobs import ForwardJob, TrainJob

log = logging.getLogger("minicaffe.spark")

TICK = 0.25  # seconds between two signs of life of rank 0
CHUNK = 16 << 20  # bytes of the model in one row of the job's result

Answer = tuple[str, Any]  # what a task gives back: ("end", ...) or ("model", bytes)


# --- training ------------------------------------------------------------------------------------


def train_partition(job: TrainJob, rows: Iterator[Any]) -> Iterator[Answer]:
    """The task of one rank in the barrier stage."""
    from pyspark import BarrierTaskContext

    task = BarrierTaskContext.get()
    use_threads(task.cpus())
    rank = task.partitionId()
    with executor_log(job.log_level[0 if rank == 0 else 1]):
        line = ControlLine(job.control, job.run, job.generation, job.secret, rank)
        with contextlib.closing(line):
            try:
                yield from train_rank(job, rank, SparkRendezvous(task), line)
            except GeneratorExit:
                raise
            except BaseException as error:
                report_error(line, error)
                raise


def report_error(line: ControlLine, error: BaseException) -> None:
    """Tell the driver why this rank gives up; what follows from another's fault is marked so."""
    message = str(error) if isinstance(error, Error) else f"{type(error).__name__}: {error}"
    line.say(
        "error",
        host=socket.gethostname(),
        message=message,
        follows=isinstance(error, CommunicationError),
        trace=traceback.format_exc(),
    )


def train_rank(
    job: TrainJob, rank: int, rendezvous: Rendezvous, line: ControlLine
) -> Iterator[Answer]:
    """Train as one rank; gives the checksum of its weights, and rank 0 the model's bytes."""
    with (
        tempfile.TemporaryDirectory(prefix="minicaffe-") as folder,
        context.fresh(job.device) as here,
        contextlib.ExitStack() as at_end,
    ):
        here.solver_rank, here.solver_count, here.data_seed = rank, job.world_size, job.seed
        communicator = connect(
            rendezvous,
            rank,
            job.world_size,
            f"{job.scheme}://{_bracketed(line.host)}:0",
            secret=job.secret,
            run=job.run,
            generation=job.generation,
        )
        at_end.callback(communicator.close)
        line.say("hello", host=socket.gethostname(), pid=os.getpid())
        param, state = job.unpack(folder)
        if rank == 0:
            _check_beacon(job.beacon)
        solver = create_solver(param)
        at_end.callback(solver.close)
        sync = AllreduceSync(communicator)
        at_end.callback(sync.close)
        solver.callbacks += [sync, Reporter(line, solver, sync)]
        if job.world_size > 1:
            solver.callbacks.append(SharedTest(communicator, sync))
        solver.solve(state)
        for layer in _feeding(solver.net):
            line.say("bad", samples=list(layer.batches.bad.values())[:20],
                     count=len(layer.batches.bad))  # fmt: skip
        yield "end", (rank, solver.iter, checksum_of(solver.net))
        if rank == 0:
            yield from _model(solver, param, folder)


class Reporter:
    """The solver's callback that tells the driver how it goes."""

    def __init__(self, line: ControlLine, solver: Solver, sync: AllreduceSync) -> None:
        param = solver.param
        self.line = line
        self.sync = sync
        self.every = param.display or max(param.max_iter // 20, 1)
        self.last = param.max_iter - 1
        self.samples = 0
        self.seconds = 0.0
        self.waited = 0.0
        self.seen: float | None = None  # sync.waited after the last iteration
        self.told = 0.0

    def on_start(self, solver: Solver) -> None:
        """Count the waiting between two iterations, where the ranks agree on requests."""
        if self.seen is not None:
            self.seconds += self.sync.waited - self.seen

    def on_iteration(self, solver: Solver, done: Iteration) -> None:
        """A row of every rank at a display and at the end; in between a tick of rank 0."""
        self.samples += done.samples
        self.seconds += done.seconds
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
            weights=checksum_of(solver.net) if row else None,
        )
        if row:
            self.samples, self.seconds, self.waited = 0, 0.0, self.sync.waited
        self.told = now

    def on_test(self, solver: Solver, index: int, results: dict[str, float]) -> None:
        """The means of a test, from rank 0."""
        if solver.root:
            self.line.say("test", iteration=solver.iter, net=index, values=results)


def checksum_of(net: Net) -> int:
    """The CRC-32 of all learnable parameters: equal on all ranks, or something is wrong."""
    weights: NDArray[np.float32] = net.flat_params.data.read("cpu")
    return zlib.crc32(weights.data)


def _model(solver: Solver, param: pb.SolverParameter, folder: str) -> Iterator[Answer]:
    path = os.path.join(folder, "model")
    hdf5 = param.snapshot_format == pb.SolverParameter.HDF5
    (save_weights_hdf5 if hdf5 else save_weights)(solver.net, path)
    with open(path, "rb") as file:
        while chunk := file.read(CHUNK):
            yield "model", chunk


def _check_beacon(beacon: str) -> None:
    """Snapshots are written by rank 0: it must see the folder that the driver sees."""
    if beacon and not os.path.exists(beacon):
        raise ClusterError(
            f"snapshots go to {os.path.dirname(beacon)}, which is not the same folder on the"
            " executors: put -model on a shared file system, or set snapshot: 0 in the solver"
        )


def _bracketed(host: str) -> str:
    return f"[{host}]" if ":" in host else host


# --- test and features ---------------------------------------------------------------------------


def count_samples(job: ForwardJob, rows: Iterator[Any]) -> Iterator[int]:
    """How many samples the TEST net's source has."""
    with forward_net(job) as (_, layer):
        yield len(layer.batches.source)


def extract_partition(
    job: ForwardJob, bad: Any, ranges: Iterator[tuple[int, int]]
) -> Iterator[tuple[str, ...]]:
    """(sample id, values of each blob) of the samples in the ranges, each once."""
    with forward_net(job) as (net, layer):
        for ids in passes(net, layer, ranges, bad):
            columns = [rows_of(net, name, len(ids)).tolist() for name in job.blobs]
            yield from zip(ids, *columns, strict=True)


def test_partition(
    job: ForwardJob, bad: Any, ranges: Iterator[tuple[int, int]]
) -> Iterator[tuple[int, dict[str, list[float]]]]:
    """The number of samples in the ranges, and the sum over them of each output's values."""
    count = 0
    sums: dict[str, NDArray[np.float64]] = {}
    with forward_net(job) as (net, layer):
        for ids in passes(net, layer, ranges, bad):
            count += len(ids)
            for name in net.output_names:
                total = rows_of(net, name, len(ids)).sum(axis=0, dtype=np.float64)
                sums[name] = sums.get(name, 0.0) + total
    yield count, {name: values.tolist() for name, values in sums.items()}


@contextlib.contextmanager
def forward_net(job: ForwardJob) -> Iterator[tuple[Net, Any]]:
    """The TEST net with its weights, and the layer that feeds it."""
    from pyspark import TaskContext

    task = TaskContext.get()
    use_threads(task.cpus() if task else 1)
    with (
        executor_log(job.log_level),
        tempfile.TemporaryDirectory(prefix="minicaffe-") as folder,
        context.fresh(job.device),
    ):
        param, weights = job.unpack(folder)
        net = Net(param)
        with contextlib.closing(net):
            load_weights(net, weights)
            feeding = _feeding(net)
            if len(feeding) != 1:
                raise DataError(
                    "test and features need one data layer that reads a source (MemoryData with"
                    f" source_class, or Data); the TEST net has {len(feeding)}"
                )
            yield net, feeding[0]


def passes(
    net: Net, layer: Any, ranges: Iterator[tuple[int, int]], bad: Any
) -> Iterator[list[str]]:
    """Run the net forward over ranges of samples, batch by batch; the ids of each batch."""
    batches = layer.batches
    for first, end in ranges:
        for start in range(first, end, batches.order.batch):
            ids = layer.load(range(start, min(start + batches.order.batch, end)))
            if ids:
                net.forward_pass()
                yield ids
    bad.add(dict(batches.bad))


def rows_of(net: Net, name: str, rows: int) -> NDArray[np.float32]:
    """(rows, values): a blob's values a sample; those of the whole batch stand in every row."""
    values: NDArray[np.float32] = net.blob_dict[name].data.read("cpu")
    if values.ndim and len(values) == rows:
        return values.reshape(rows, -1)
    return np.tile(values.reshape(1, -1), (rows, 1))


# --- of both -------------------------------------------------------------------------------------


def _feeding(net: Net) -> Sequence[Any]:
    """The layers that read a data source."""
    return [layer for layer in net.layers if _reads_source(layer)]


def _reads_source(layer: Layer) -> bool:
    return getattr(layer, "batches", None) is not None


def use_threads(count: int) -> None:
    """Give kernels and BLAS as many threads as the task has cpus, unless they have been told."""
    for name in ("MINICAFFE_NUM_THREADS", "OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS"):
        os.environ.setdefault(name, str(count))


@contextlib.contextmanager
def executor_log(level: int) -> Iterator[None]:
    """Caffe's log lines on standard error, from this level on."""
    with glog():
        logging.getLogger("minicaffe").setLevel(level)
        yield
