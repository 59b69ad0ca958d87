"""What it costs to lose a rank: python -m benchmarks.spark_kills --kind process --kills 100

A small net is trained on two ranks, again and again; in each run ranks chosen by chance meet with a
fault at moments chosen by chance: while they start, set up their nets, meet the others, train,
write a snapshot or send the model home. Told are the seconds from a fault to the next iteration,
and whether every run ended with the bits of the undisturbed one.

    process    a rank's Python process is killed, ten times a run, in local[2]
    executor   the JVM above it is killed, once a run, on a standalone cluster of two Workers
    stop       a rank's process is stopped (SIGSTOP), once a run, on such a cluster; -timeout 10
    link       the cable of a rank's host is pulled, and plugged in again 20 seconds later
    host       it is pulled for the length of the run, which may go on with one rank (-minRanks 1,
               so with other bits)

For the last two the Workers are on hosts of their own, in network namespaces (Linux, root).
"""

from __future__ import annotations

import argparse
import contextlib
import os
import random
import signal
import statistics
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from minicaffe.distributed.spark.config import Config
from minicaffe.distributed.spark.driver import Training
from minicaffe.distributed.spark.preflight import plan_training
from minicaffe.distributed.spark.slots import await_slots
from minicaffe.proto.files import read_net_binary
from tests.spark_cluster import SmallSet, Standalone, executor_of, spark_context
from tests.spark_hosts import Hosts, missing, move_into_own_network

from . import machine

SNAPSHOT = 100  # iterations from one to the next
CUT = 20.0  # seconds without a cable

Harm = Callable[[int], None]  # what is done to a rank, by its process


class Runs:
    """Runs of one training, and what became of them; `recoveries` are in seconds."""

    def __init__(
        self,
        sc: Any,
        folder: Path,
        harm: Harm,
        seed: int = 3,
        iterations: int = 1500,
        options: tuple[str, ...] = (),
    ) -> None:
        self.sc = sc
        self.small = SmallSet(folder)
        self.solver = self.small.solver(max_iter=iterations, more=f"snapshot: {SNAPSHOT}")
        self.chance = random.Random(seed)
        self.kills = 0
        self.recoveries: list[float] = []
        self._harm = harm
        self._options = options
        self.bits = self._weights(self._training())
        began = time.monotonic()
        assert self._weights(self._training()) == self.bits
        self.seconds = time.monotonic() - began  # of a run, when all is compiled

    def disturbed(self, kills: int) -> bool:
        """A run with so many faults; whether it ends with the right bits."""
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
        conf = Config(self.sc, [*args, *self._options])
        return Training(conf, plan_training(conf, False))

    def _weights(self, training: Training) -> list[bytes]:
        training.run()
        layers = read_net_binary(self.small.folder / "m").layer
        return [blob.SerializeToString() for layer in layers for blob in layer.blobs]

    def _kill(self, training: Training, kills: int, over: threading.Event) -> None:
        """Harm ranks, each at a moment that chance has chosen, and measure until `over`.

        One in four is harmed while the run still mends the loss of the one before.
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
            if kills and now > next_one and self._harm_one(training):
                alone, last = not last, time.monotonic()
                soon = self.chance.random() < 0.25
                next_one = last + (self.chance.uniform(0, self.seconds) if soon else 60)
                kills -= 1
                self.kills += 1

    def _harm_one(self, training: Training) -> bool:
        """Harm a rank of the generation that runs; whether there was one."""
        ranks = list(training.attempt.roster.ranks.values()) if training.attempt else []
        rank = self.chance.choice(ranks) if ranks else None
        if rank is None or rank.gone:
            return False
        try:
            self._harm(rank.pid)
        except (ProcessLookupError, FileNotFoundError):
            return False
        return True


# --- kinds of harm -------------------------------------------------------------------------------


def kill(process: int) -> None:
    """End a rank's Python process."""
    os.kill(process, signal.SIGKILL)


def kill_executor(process: int) -> None:
    """End the JVM above it."""
    os.kill(executor_of(process), signal.SIGKILL)


def stop(process: int) -> None:
    """Let it be, and do nothing."""
    os.kill(process, signal.SIGSTOP)


class Cables:
    """Pulls the cable of a rank's host; it is plugged in again after a while, and by `mend`."""

    def __init__(self, hosts: Hosts, seconds: float) -> None:
        self.hosts = hosts
        self._seconds = seconds
        self._pulled: dict[int, threading.Timer] = {}

    def __call__(self, process: int) -> None:
        host = self.hosts.of_process(process)
        self.hosts.cut(host)
        self._pulled[host] = threading.Timer(self._seconds, self.hosts.mend, [host])
        self._pulled[host].start()

    def mend(self) -> None:
        """Plug all in."""
        for host, timer in self._pulled.items():
            timer.cancel()
            self.hosts.mend(host)
        self._pulled.clear()


@contextlib.contextmanager
def place(kind: str, folder: Path) -> Iterator[tuple[Any, Harm]]:
    """A SparkContext where a kind of harm can be done, and what does it."""
    if kind == "process":
        with spark_context("local[2]") as sc:
            yield sc, kill
        return
    settings = {"spark_executor_memory": "600m", "spark_cores_max": "2"}
    with contextlib.ExitStack() as at_end:
        hosts = at_end.enter_context(contextlib.closing(Hosts(2))) if _plays_hosts(kind) else None
        if hosts:
            settings |= {"spark_driver_host": hosts.address,
                         "spark_driver_bindAddress": hosts.address}  # fmt: skip
        cluster = at_end.enter_context(contextlib.closing(Standalone(folder, 2, hosts)))
        sc = at_end.enter_context(spark_context(cluster.url, **settings))
        await_slots(sc, 2, 120)
        if not hosts:
            yield sc, {"executor": kill_executor, "stop": stop}[kind]
            return
        cables = Cables(hosts, CUT if kind == "link" else 3600)
        at_end.callback(cables.mend)
        yield sc, cables


def _plays_hosts(kind: str) -> bool:
    return kind in ("link", "host")


def main() -> int:
    """Run so many times, and tell the figures; 1 where a run ended with other bits."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    kinds = ("process", "executor", "stop", "link", "host")
    parser.add_argument("--kind", choices=kinds, default="process")
    parser.add_argument("--kills", type=int, default=10)
    parser.add_argument("--seed", type=int, default=3)
    args = parser.parse_args()
    if _plays_hosts(args.kind):
        if problem := missing():
            parser.exit(1, f"spark_kills: --kind {args.kind}: {problem}\n")
        move_into_own_network([sys.executable, "-m", "benchmarks.spark_kills", *sys.argv[1:]])
    a_run, iterations = (10, 1500) if args.kind == "process" else (1, 500)
    options = ("-minRanks", "1") if args.kind == "host" else ()
    with tempfile.TemporaryDirectory() as name, place(args.kind, Path(name)) as (sc, harm):
        runs = Runs(sc, Path(name), harm, args.seed, iterations, options)
        wrong = tried = 0
        while runs.kills < args.kills:
            tried += 1
            same = runs.disturbed(min(a_run, args.kills - runs.kills))
            wrong += not same
            if isinstance(harm, Cables):
                harm.mend()
    found = sorted(runs.recoveries)
    print(*(f"{name}: {value}" for name, value in machine.describe().items()), sep="; ")
    print(f"{tried} runs of {iterations} iterations, {runs.kills} times {args.kind},"
          f" {wrong} with other bits")  # fmt: skip
    print(f"seconds to the next iteration: median {statistics.median(found):.2f},"
          f" 90 % {found[int(0.9 * len(found))]:.2f}, most {found[-1]:.2f}")  # fmt: skip
    return int(bool(wrong) and args.kind != "host")


if __name__ == "__main__":
    raise SystemExit(main())
