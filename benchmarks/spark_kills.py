"""What it costs to lose a rank: python -m benchmarks.spark_kills --kills 100

A session of local[2] trains a small net on two ranks, again and again; ten times a run one of their
Python processes, chosen by chance, is killed at a moment chosen by chance: while it starts, sets up
its net, meets the others, trains, writes a snapshot or sends the model home. Every run must end
with the bits of the undisturbed one. Told are the seconds from a kill to the next iteration.
"""

from __future__ import annotations

import argparse
import os
import random
import signal
import statistics
import tempfile
import threading
import time
from pathlib import Path
from typing import Any

from minicaffe.distributed.spark.config import Config
from minicaffe.distributed.spark.driver import Training
from minicaffe.distributed.spark.preflight import plan_training
from minicaffe.proto.files import read_net_binary
from tests.spark_cluster import SmallSet, spark_context

from . import machine

ITERATIONS, SNAPSHOT = 1500, 100


class Runs:
    """Runs of one training, and what became of them; `recoveries` are in seconds."""

    def __init__(self, sc: Any, folder: Path, seed: int = 3) -> None:
        self.sc = sc
        self.small = SmallSet(folder)
        self.solver = self.small.solver(max_iter=ITERATIONS, more=f"snapshot: {SNAPSHOT}")
        self.chance = random.Random(seed)
        self.kills = 0
        self.recoveries: list[float] = []
        self.bits = self._weights(self._training())
        began = time.monotonic()
        assert self._weights(self._training()) == self.bits
        self.seconds = time.monotonic() - began  # of a run, when all is compiled

    def disturbed(self, kills: int) -> bool:
        """A run in which so many ranks are killed; whether it ends with the right bits."""
        training, over = self._training(), threading.Event()
        killer = threading.Thread(target=self._kill, args=(training, kills, over))
        killer.start()
        try:
            return self._weights(training) == self.bits
        finally:
            over.set()
            killer.join()

    def _training(self) -> Training:
        model = str(self.small.folder / "m")
        args = ["-conf", self.solver, "-clusterSize", "2", "-model", model, "-maxRestarts", "99"]
        conf = Config(self.sc, args)
        return Training(conf, plan_training(conf, False))

    def _weights(self, training: Training) -> list[bytes]:
        training.run()
        layers = read_net_binary(self.small.folder / "m").layer
        return [blob.SerializeToString() for layer in layers for blob in layer.blobs]

    def _kill(self, training: Training, kills: int, over: threading.Event) -> None:
        """Kill ranks, each at a moment that chance has chosen, and measure until `over`.

        One in four is killed while the run still mends the loss of the one before.
        """
        next_one = time.monotonic() + self.chance.uniform(0, self.seconds)
        last, mended, alone = 0.0, 0, True
        while not over.wait(0.002):
            now = time.monotonic()
            if len(training.report.recoveries) > mended:
                mended = len(training.report.recoveries)
                if alone:
                    self.recoveries.append(now - last)
                if next_one > now:
                    next_one = now + self.chance.uniform(0, self.seconds)
                last, alone = 0.0, True
            if kills and now > next_one and _kill_one(training, self.chance):
                alone, last = not last, time.monotonic()
                soon = self.chance.random() < 0.25
                next_one = last + (self.chance.uniform(0, self.seconds) if soon else 60)
                kills -= 1
                self.kills += 1


def _kill_one(training: Training, chance: random.Random) -> bool:
    """Kill a rank of the generation that runs; whether there was one."""
    ranks = list(training.attempt.roster.ranks.values()) if training.attempt else []
    rank = chance.choice(ranks) if ranks else None
    if rank is None or rank.gone:
        return False
    try:
        os.kill(rank.pid, signal.SIGKILL)
    except ProcessLookupError:
        return False
    return True


def main() -> None:
    """Run so many times, and tell the figures."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--kills", type=int, default=100)
    parser.add_argument("--seed", type=int, default=3)
    args = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder, spark_context("local[2]") as sc:
        runs = Runs(sc, Path(folder), args.seed)
        wrong = tried = 0
        while runs.kills < args.kills:
            tried += 1
            wrong += not runs.disturbed(min(10, args.kills - runs.kills))
    found = sorted(runs.recoveries)
    print(*(f"{name}: {value}" for name, value in machine.describe().items()), sep="; ")
    print(f"{tried} runs of {ITERATIONS} iterations, {runs.kills} kills, {wrong} with other bits")
    print(f"seconds to the next iteration: median {statistics.median(found):.2f},"
          f" 90 % {found[int(0.9 * len(found))]:.2f}, most {found[-1]:.2f}")  # fmt: skip


if __name__ == "__main__":
    main()
