"""Whether a long training grows, and strangers slow it: python -m benchmarks.spark_soak --minutes 5

A session of local[2] trains a small net on two ranks without an end, with a snapshot now and then.
Told are resident memory, threads and open files of the ranks, of the driver and of its JVM, after a
fifth of the time and at the end, with the most of each that was seen at a look a minute between;
and the iterations a second while a thousand connections are made to the driver's port, a hundred a
second, each with some bytes of nonsense, beside those before and after. With `--pause` the ranks
sleep in every iteration, so that a soak of half an hour leaves the cores to others; the strangers'
figure then means little.
"""

from __future__ import annotations

import argparse
import contextlib
import os
import random
import signal
import socket
import tempfile
import threading
import time
from pathlib import Path
from typing import NamedTuple

from minicaffe.distributed.spark.config import Config
from minicaffe.distributed.spark.driver import Training
from minicaffe.distributed.spark.preflight import plan_training
from tests.spark_cluster import SmallSet, spark_context

from . import machine

STRANGERS, A_SECOND = 1000, 100
WINDOW = STRANGERS / A_SECOND  # seconds


class Size(NamedTuple):
    """A process at a moment."""

    megabytes: float
    threads: int
    files: int


def size_of(pid: int) -> Size:
    """What the system tells of a process."""
    fields = dict(
        line.split(":", 1) for line in Path(f"/proc/{pid}/status").read_text().splitlines()
    )
    files = len(os.listdir(f"/proc/{pid}/fd"))
    return Size(int(fields["VmRSS"].split()[0]) / 1024, int(fields["Threads"]), files)


# A layer that takes its time.
LAYER = """
import time, minicaffe as caffe
class Slow(caffe.Layer):
    def setup(self, bottom, top): pass
    def reshape(self, bottom, top): pass
    def forward(self, bottom, top): time.sleep({pause})
    def backward(self, top, down, bottom): pass
"""
NODE = """layer { name: "slow" type: "Python" bottom: "label" include { phase: TRAIN }
        python_param { module: "slow_layer" layer: "Slow" } }"""
LOOK = 60.0  # seconds between two looks at the sizes


class Watch(threading.Thread):
    """Measures a training that runs, and ends it by Ctrl-C."""

    def __init__(self, training: Training, seconds: float) -> None:
        super().__init__()
        self.training = training
        self.seconds = seconds
        self.refused: list[float] = []  # seconds that each stranger was kept

    def run(self) -> None:
        """Measure, tell, and end the training."""
        try:
            self._measure()
        finally:
            signal.raise_signal(signal.SIGINT)

    def _measure(self) -> None:
        while not (self.training.attempt and self.training.attempt.reached > 100):
            time.sleep(0.1)
        time.sleep(self.seconds / 5)
        ranks = self.training.attempt.roster.ranks.values()
        processes = {f"rank {rank.number}": rank.pid for rank in ranks} | {"driver": os.getpid()}
        processes["JVM"] = self.training.sc._gateway.proc.pid
        looks = [{name: size_of(pid) for name, pid in processes.items()}]
        first, end = self.training.attempt.reached, time.monotonic() + self.seconds * 4 / 5
        while (left := end - 3 * WINDOW - time.monotonic()) > 0:
            time.sleep(min(left, LOOK))
            looks.append({name: size_of(pid) for name, pid in processes.items()})
        rates = [self._rate(), self._rate(strangers=True), self._rate()]
        looks.append({name: size_of(pid) for name, pid in processes.items()})
        print(f"{self.training.attempt.reached - first} iterations")
        for name in processes:
            for what, *found in zip(Size._fields, *(look[name] for look in looks), strict=True):
                print(f"{name}: {what} {found[0]:.1f} -> {found[-1]:.1f}, {max(found):.1f} at most")
        quiet = (rates[0] + rates[2]) / 2
        print(
            f"iterations/s {quiet:.0f}, with strangers {rates[1]:.0f}: {rates[1] / quiet - 1:+.1%}"
        )
        print(f"{len(self.refused)} strangers, kept {max(self.refused):.3f} s at most")

    def _rate(self, strangers: bool = False) -> float:
        """Iterations a second, over a window."""
        attempt = self.training.attempt
        assert attempt is not None
        began, first = time.monotonic(), attempt.reached
        while (passed := time.monotonic() - began) < WINDOW:
            if strangers and len(self.refused) < passed * A_SECOND:
                self._knock(attempt.server.address)
            else:
                time.sleep(0.005)
        return (attempt.reached - first) / (time.monotonic() - began)

    def _knock(self, address: tuple[str, int]) -> None:
        began = time.monotonic()
        with socket.create_connection(address, 5) as stranger, contextlib.suppress(OSError):
            stranger.sendall(random.randbytes(200))
            while stranger.recv(1000):
                pass
        self.refused.append(time.monotonic() - began)


def main() -> None:
    """Train, measure, tell."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--minutes", type=float, default=5)
    parser.add_argument("--pause", type=float, default=0, help="milliseconds, in each iteration")
    args = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder, spark_context("local[2]") as sc:
        Path(folder, "slow_layer.py").write_text(LAYER.format(pause=args.pause / 1000))
        solver = SmallSet(Path(folder)).solver(
            max_iter=100_000_000, more="snapshot: 20000", net=NODE if args.pause else ""
        )
        text = Path(solver).read_text().replace("display: 5", "display: 20000")
        Path(solver).write_text(text)
        conf = Config(sc, ["-conf", solver, "-clusterSize", "2", "-model", f"{folder}/m"])
        training = Training(conf, plan_training(conf, False))
        watch = Watch(training, 60 * args.minutes)
        print(*(f"{name}: {value}" for name, value in machine.describe().items()), sep="; ")
        watch.start()
        with contextlib.suppress(KeyboardInterrupt):
            training.run()
        watch.join()


if __name__ == "__main__":
    main()
