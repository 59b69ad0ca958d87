"""How do the ways compare in which ranks stay together: loss against iterations, bytes and time?

    python -m benchmarks.sync --cifar10 FOLDER --iterations 300 --picture docs/sync.png

Two ranks, a process each, on the ring over TCP; LeNet on MNIST (64 images a rank) and, with the
folder of its binary files, the "quick" net on CIFAR-10 (100 a rank). Every way trains from the same
weights on the same samples in the same order. Prints a table; the picture has a row a data set and
the loss (mean of both ranks, smoothed) against iterations, bytes and seconds.
"""

from __future__ import annotations

import argparse
import multiprocessing
import os
import tempfile
import time
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from minicaffe import context
from minicaffe.cli.convert.cifar import TRAIN_BATCHES, convert_batches
from minicaffe.cli.convert.mnist import convert_mnist
from minicaffe.distributed.auth import new_secret
from minicaffe.distributed.rendezvous import connect
from minicaffe.distributed.sync import create_sync
from minicaffe.machine.threads import set_num_threads
from minicaffe.proto.files import read_net
from minicaffe.proto.minicaffe_pb2 import SolverParameter
from minicaffe.solver.create import create_solver

from .allreduce import PipeRendezvous

EXAMPLES = Path(__file__).resolve().parent.parent / "examples"
WAYS = ("allreduce", "sparknet", "dl4j", "threshold", "threshold:threshold=0.1")
WARM_UP = 3
SMOOTH = 25
MIDDLE = 120  # near CIFAR-10's mean, in place of a file of it


class Course(NamedTuple):
    """A training: after each iteration the loss, this rank's bytes so far, seconds so far."""

    loss: np.ndarray
    sent: np.ndarray
    seconds: np.ndarray


class Task(NamedTuple):
    """A data set, and the net that learns it."""

    name: str
    net: Path
    source: str
    base_lr: float


def work(
    rank: int, ranks: int, parent: Connection, secret: bytes, task: Task, way: str, iterations: int
) -> None:
    """One rank: its course goes to the parent."""
    os.environ["GLOG_minloglevel"] = "2"  # noqa: SIM112
    set_num_threads(1)
    with (
        context.fresh() as here,
        connect(PipeRendezvous(parent), rank, ranks, secret=secret) as ring,
    ):
        here.solver_rank, here.solver_count, here.data_seed = rank, ranks, 1
        solver = create_solver(solver_of(task, iterations))
        sync = create_sync(way, ring)
        notes = Notes(ring)
        solver.callbacks += [sync, notes]
        solver.step(iterations)
        parent.send(Course(*(np.array(column) for column in zip(*notes.rows, strict=True))))
        sync.close()
        solver.close()


class Notes:
    """The callback that takes down the course."""

    def __init__(self, ring: Any) -> None:
        self.ring = ring
        self.rows: list[tuple[float, int, float]] = []
        self.began = 0.0

    def on_iteration(self, solver: Any, done: Any) -> None:
        """A row; the clock begins after the first iterations, in which kernels are loaded."""
        if done.number <= WARM_UP:
            self.began = time.perf_counter()
        self.rows.append((done.loss, self.ring.bytes_sent, time.perf_counter() - self.began))


def solver_of(task: Task, iterations: int) -> SolverParameter:
    """SGD with momentum, without tests."""
    net = read_net(task.net)
    for layer in net.layer:
        if layer.HasField("memory_data_param"):
            layer.memory_data_param.source = task.source
            if layer.transform_param.mean_file:
                layer.transform_param.Clear()
                layer.transform_param.mean_value.append(MIDDLE)
    solver = SolverParameter(base_lr=task.base_lr, momentum=0.9, weight_decay=0.0005,
                             lr_policy="fixed", random_seed=1, max_iter=iterations,
                             snapshot_after_train=False)  # fmt: skip
    solver.net_param.CopyFrom(net)
    return solver


def train(task: Task, way: str, iterations: int, ranks: int = 2) -> Course:
    """A training on so many processes: the mean of their losses, the bytes of the busiest."""
    start = multiprocessing.get_context("spawn")
    secret = new_secret()
    pipes, children = [], []
    for rank in range(ranks):
        here, there = start.Pipe()
        job = (rank, ranks, there, secret, task, way, iterations)
        children.append(start.Process(target=work, args=job, daemon=True))
        children[-1].start()
        there.close()
        pipes.append(here)
    addresses = [pipe.recv() for pipe in pipes]
    for pipe in pipes:
        pipe.send(addresses)
    courses: list[Course] = [pipe.recv() for pipe in pipes]
    for child in children:
        child.join()
    return Course(
        np.mean([course.loss for course in courses], axis=0),
        np.max([course.sent for course in courses], axis=0),
        np.max([course.seconds for course in courses], axis=0),
    )


def smooth(values: np.ndarray) -> np.ndarray:
    """The mean of the last SMOOTH values, of fewer at the beginning."""
    sums = np.cumsum(np.concatenate([[0.0], values]))
    ends = np.arange(1, len(values) + 1)
    begins = np.maximum(ends - SMOOTH, 0)
    means: np.ndarray = (sums[ends] - sums[begins]) / (ends - begins)
    return means


def table(courses: dict[str, dict[str, Course]]) -> str:
    """A line a way and data set."""
    lines = ["| data | way | loss | KB an iteration | ms an iteration |", "|---|---|---|---|---|"]
    for data, of_data in courses.items():
        for way, course in of_data.items():
            count = len(course.loss) - 1
            sent = (course.sent[-1] - course.sent[0]) / count / 1e3
            step = 1e3 * np.median(np.diff(course.seconds[WARM_UP + 1 :]))
            if way.partition(":")[0] in ("sparknet", "dl4j"):  # most iterations send nothing
                step = 1e3 * course.seconds[-1] / (count - WARM_UP)
            lines.append(
                f"| {data} | `{way}` | {smooth(course.loss)[-1]:.3f} | {sent:.0f} | {step:.1f} |"
            )
    return "\n".join(lines)


def draw(courses: dict[str, dict[str, Course]], path: str) -> None:
    """The picture."""
    import matplotlib

    matplotlib.use("agg")
    from matplotlib import pyplot

    figure, rows = pyplot.subplots(len(courses), 3, figsize=(11, 3.2 * len(courses)), squeeze=False)
    for axes, (data, of_data) in zip(rows, courses.items(), strict=True):
        for way, course in of_data.items():
            loss, after = smooth(course.loss), WARM_UP + 1
            sent = (course.sent - course.sent[0]) / 1e6
            axes[0].plot(loss, label=way, linewidth=1.2)
            axes[1].plot(sent[after:], loss[after:], linewidth=1.2)
            axes[2].plot(course.seconds[after:], loss[after:], linewidth=1.2)
        axes[0].set_ylabel(f"{data}: loss")
        axes[0].set_xlabel("iterations")
        axes[1].set_xlabel("MB sent a rank")
        axes[1].set_xscale("log")
        axes[1].set_xlim(left=0.01)
        axes[2].set_xlabel("seconds")
        for each in axes:
            each.grid(alpha=0.3)
    rows[0][0].legend(fontsize=8)
    figure.tight_layout()
    figure.savefig(path, dpi=110)


def main() -> None:
    """Train each way on each data set; print, draw."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--cifar10", help="the folder of data_batch_1.bin[.xz] ...")
    parser.add_argument("--iterations", type=int, default=300)
    parser.add_argument("--picture", help="where to draw it")
    parser.add_argument("--ways", nargs="+", default=list(WAYS))
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        mnist = EXAMPLES / "mnist"
        images, labels = (
            mnist / f"train-{kind}-ubyte.gz" for kind in ("images-idx3", "labels-idx1")
        )
        convert_mnist(images, labels, Path(folder) / "mnist")
        net = mnist / "lenet_memory_train_test.prototxt"
        tasks = [Task("MNIST", net, f"{folder}/mnist", 0.01)]
        if options.cifar10:
            files = [Path(options.cifar10) / name for name in TRAIN_BATCHES]
            there = [file for file in files if list(file.parent.glob(f"{file.name}*"))]
            convert_batches(there, Path(folder) / "cifar")
            net = EXAMPLES / "cifar10" / "cifar10_quick_memory_train_test.prototxt"
            tasks.append(Task("CIFAR-10", net, f"{folder}/cifar", 0.001))
        courses: dict[str, dict[str, Course]] = {task.name: {} for task in tasks}
        for task in tasks:
            for way in options.ways:
                courses[task.name][way] = train(task, way, options.iterations)
    print(table(courses))
    if options.picture:
        draw(courses, options.picture)


if __name__ == "__main__":
    main()
