"""Two commits of minicaffe against each other: python -m benchmarks.commits d099d20

    python -m benchmarks.commits v0.1 HEAD --nets LeNet CIFAR --rounds 31
    python -m benchmarks.commits HEAD --rounds 5          this working tree against the last commit

Each commit runs in processes of its own, from a tree that `git worktree` lays out; without a second
commit the working tree as it is stands against the first. Measured are iterations of training
(processor time, one thread by default), `import minicaffe`, and a new process to the end of its
first iteration with compiled kernels at hand. The two take turns; before that their losses must be
equal. The ratio is the first's time by the second's: above 1 the second is faster.
"""

from __future__ import annotations

import argparse
import contextlib
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path

from minicaffe.proto.text import format_text

from . import machine
from .cases import TRAIN
from .nets import nets

CHECKOUT = Path(__file__).resolve().parent.parent
SAME = 1e-3  # of a loss: the order of a sum may have changed

# A commit's process. It knows pycaffe's face alone, which all commits have.
WORKER = """
import sys, time
import numpy as np
import minicaffe as caffe
solver = caffe.get_solver(sys.argv[1])
draw = np.random.default_rng(1)
for name in solver.net.inputs:
    blob = solver.net.blobs[name].data
    labels = blob.ndim < 2 or name == "label"
    blob[...] = draw.integers(0, 10, blob.shape) if labels else draw.standard_normal(blob.shape)
for blobs in solver.net.params.values():
    weight = blobs[0].data
    weight[...] = draw.standard_normal(weight.shape) * (2 / weight[0].size) ** 0.5
for line in sys.stdin:
    count = int(line)
    started = time.process_time()
    solver.step(count)
    used = time.process_time() - started
    losses = [float(solver.net.blobs[name].data.sum()) for name in solver.net.outputs]
    print(used / count, sum(losses), flush=True)
"""
SOLVER = """
net: "net.prototxt" random_seed: 1 max_iter: 1000000
base_lr: 0.001 lr_policy: "fixed" momentum: 0.9 weight_decay: 0.0005
"""


def arguments() -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.commits",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("first", help="a commit, branch or tag")
    parser.add_argument("second", nargs="?", help="another (default: the working tree)")
    parser.add_argument("--nets", nargs="*", default=["LeNet", "CIFAR", "CaffeNet", "GoogLeNet"])
    parser.add_argument("--rounds", type=int, default=21)
    parser.add_argument("--turn", type=float, default=0.5, help="seconds of a turn")
    parser.add_argument("--threads", type=int, default=1)
    return parser.parse_args()


@contextlib.contextmanager
def tree(commit: str | None) -> Iterator[Path]:
    """The folder of a commit's files; the working tree for None."""
    if commit is None:
        yield CHECKOUT
        return
    with tempfile.TemporaryDirectory(prefix="minicaffe-") as folder:
        git = ["git", "-C", str(CHECKOUT), "worktree"]
        path = Path(folder, "tree")
        subprocess.run([*git, "add", "--quiet", "--detach", str(path), commit], check=True)
        try:
            yield path
        finally:
            subprocess.run([*git, "remove", "--force", str(path)], check=True)


class Process:
    """A commit's process that trains a net, at our word."""

    def __init__(self, folder: Path, work: Path, environment: dict[str, str]) -> None:
        self.process = subprocess.Popen(
            [sys.executable, "-c", WORKER, "solver.prototxt"],
            cwd=work,
            env={**environment, "PYTHONPATH": str(folder)},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            text=True,
        )

    def step(self, count: int) -> tuple[float, float]:
        """Make iterations; the seconds of one, and the loss of the last."""
        assert self.process.stdin and self.process.stdout
        self.process.stdin.write(f"{count}\n")
        self.process.stdin.flush()
        answer = self.process.stdout.readline().split()
        if len(answer) != 2:
            raise SystemExit(f"a commit's process ended ({self.process.wait()})")
        return float(answer[0]), float(answer[1])

    def close(self) -> None:
        """End it."""
        assert self.process.stdin
        self.process.stdin.close()
        self.process.wait()


def row(title: str, pairs: list[tuple[float, float]]) -> str:
    """Medians of both, the median of the ratios pair by pair, and the middle half of those."""
    first, second = (statistics.median(times) for times in zip(*pairs, strict=True))
    ratios = [a / b for a, b in pairs]
    low, middle, high = statistics.quantiles(ratios, n=4)
    return (
        f"| {title} | {1e3 * first:.2f} | {1e3 * second:.2f} |"
        f" {middle:.3f} | {low:.3f} to {high:.3f} |"
    )


def in_turns(
    rounds: int, one: Callable[[], float], two: Callable[[], float]
) -> list[tuple[float, float]]:
    """Both, one after the other, the order changed every time."""
    pairs = []
    for index in range(rounds):
        if index % 2:
            b, a = two(), one()
        else:
            a, b = one(), two()
        pairs.append((a, b))
    return pairs


def seconds(process: Process, count: int) -> float:
    """Processor time of an iteration."""
    return process.step(count)[0]


def training(
    trees: list[Path], work: Path, options: argparse.Namespace
) -> list[tuple[float, float]]:
    """Seconds of an iteration, in turns."""
    environment = {**os.environ, "MINICAFFE_NUM_THREADS": str(options.threads)}
    processes = [Process(folder, work, environment) for folder in trees]
    try:
        losses = [process.step(3)[1] for process in processes]
        if abs(losses[0] - losses[1]) > SAME * abs(losses[0]):
            raise SystemExit(f"the losses after three iterations differ: {losses}")
        count = max(1, round(options.turn / processes[0].step(2)[0]))
        return in_turns(options.rounds, *(partial(seconds, each, count) for each in processes))
    finally:
        for process in processes:
            process.close()


def started(folder: Path, program: list[str], work: Path) -> float:
    """Seconds that a new process takes."""
    begin = time.perf_counter()
    subprocess.run(
        [sys.executable, "-c", *program],
        cwd=work,
        env={**os.environ, "PYTHONPATH": str(folder)},
        input="1\n",
        text=True,
        check=True,
        capture_output=True,
    )
    return time.perf_counter() - begin


def main() -> None:
    """Measure and print a table."""
    options = arguments()
    print(f"{machine.describe()}\nthreads: {options.threads}, load {machine.load()}\n")
    print(f"| ms | {options.first} | {options.second or 'working tree'} | ratio | middle half |")
    print("|---|---|---|---|---|")
    with contextlib.ExitStack() as stack:
        trees = [stack.enter_context(tree(commit)) for commit in (options.first, options.second)]
        work = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        (work / "solver.prototxt").write_text(SOLVER)
        for case in nets():
            if case.work == TRAIN and any(case.title.startswith(name) for name in options.nets):
                (work / "net.prototxt").write_text(format_text(case.param()))
                print(row(case.title, training(trees, work, options)), flush=True)
        case = next(case for case in nets() if case.work == TRAIN)
        (work / "net.prototxt").write_text(format_text(case.param()))
        for title, program in (
            ("import minicaffe", ["import minicaffe"]),
            (f"{case.title}: first iteration of a new process", [WORKER, "solver.prototxt"]),
        ):
            one, two = (partial(started, folder, program, work) for folder in trees)
            one(), two()
            print(row(title, in_turns(options.rounds, one, two)), flush=True)


if __name__ == "__main__":
    main()
