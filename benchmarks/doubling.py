"""Up to which size is recursive doubling faster than the ring?

    python -m benchmarks.doubling --ranks 2 4 --transports tcp unix --kilobytes 0.0625 1 16 64 256

Every rank is a process of this machine; both ways work in the same processes on the same array, in
turns. Prints medians of a call, in microseconds: the time of the slowest rank, and the processor
time of a rank, which a busy machine disturbs less.
"""

from __future__ import annotations

import argparse
import itertools
import multiprocessing
import os
import platform
import statistics
import time
from multiprocessing.connection import Connection

import numpy as np

from minicaffe.distributed.auth import new_secret
from minicaffe.distributed.communicator import Communicator
from minicaffe.distributed.rendezvous import connect

from .allreduce import BETWEEN_PROCESSES, PipeRendezvous, cpu

Seconds = dict[str, list[tuple[float, float]]]  # a call, wall and processor, by way

CALLS = 10  # of one way, before it is the other's turn
TURNS = 15


def work(
    rank: int, ranks: int, scheme: str, sizes: list[int], parent: Connection, secret: bytes
) -> None:
    """One rank: the seconds a call of each turn, by way, for each size in bytes."""
    url = f"{scheme}://127.0.0.1:0"
    ways = {}
    for name, limit in (("ring", 0), ("doubling", max(sizes))):
        ways[name] = connect(
            PipeRendezvous(parent), rank, ranks, url, secret=secret, doubling_bytes=limit
        )
    for size in sizes:
        parent.send(measure(ways, np.zeros(size // 4, np.float32)))
    for way in ways.values():
        way.barrier()
        way.close()


def measure(ways: dict[str, Communicator], array: np.ndarray) -> Seconds:
    """Seconds a call of each turn; the first turn is not counted."""
    seconds: Seconds = {name: [] for name in ways}
    for turn in range(TURNS + 1):
        for name in list(ways)[:: 1 if turn % 2 else -1]:
            ways[name].barrier()
            wall, processor = time.perf_counter(), time.process_time()
            for _ in range(CALLS):
                ways[name].allreduce(array)
            spent = time.perf_counter() - wall, time.process_time() - processor
            if turn:
                seconds[name].append((spent[0] / CALLS, spent[1] / CALLS))
    return seconds


def row(ranks: int, scheme: str, size: int, of_ranks: list[Seconds]) -> str:
    """One line of the table."""
    cells = [str(ranks), scheme, f"{size / 1024:g}"]
    for clock, of_turn in enumerate((max, statistics.mean)):
        ring, doubling = (
            1e6
            * statistics.median(
                of_turn([spent[clock] for spent in turn])
                for turn in zip(*(each[name] for each in of_ranks), strict=True)
            )
            for name in ("ring", "doubling")
        )
        cells += [f"{ring:.0f}", f"{doubling:.0f}", f"{ring / doubling:.2f}"]
    return f"| {' | '.join(cells)} |"


def main() -> None:
    """Start the ranks of each ring, print a table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--ranks", type=int, nargs="+", default=[2, 4])
    parser.add_argument("--kilobytes", type=float, nargs="+", default=[0.0625, 1, 16, 64, 256])
    parser.add_argument("--transports", nargs="+", default=["tcp"], choices=BETWEEN_PROCESSES)
    options = parser.parse_args()
    start = multiprocessing.get_context("spawn")
    sizes = [int(1024 * kilobytes) // 4 * 4 for kilobytes in options.kilobytes]
    print(f"{os.cpu_count()} cores ({cpu()}), load {os.getloadavg()[0]:.1f}, Python "
          f"{platform.python_version()}, NumPy {np.__version__}")  # fmt: skip
    columns = [f"{name}{clock} us" for clock in (",", ", cpu") for name in ("ring", "doubling")]
    columns = ["ranks", "transport", "KB", *columns[:2], "ratio", *columns[2:], "ratio"]
    print(f"| {' | '.join(columns)} |")
    print("|---" * 9 + "|", flush=True)
    for ranks, scheme in itertools.product(options.ranks, options.transports):
        pipes, children, secret = [], [], new_secret()
        for rank in range(ranks):
            here, there = start.Pipe()
            job = (rank, ranks, scheme, sizes, there, secret)
            children.append(start.Process(target=work, args=job, daemon=True))
            children[-1].start()
            there.close()
            pipes.append(here)
        for _ in ("ring", "doubling"):
            addresses = [pipe.recv() for pipe in pipes]
            for pipe in pipes:
                pipe.send(addresses)
        for size in sizes:
            print(row(ranks, scheme, size, [pipe.recv() for pipe in pipes]), flush=True)
        for child in children:
            child.join()


if __name__ == "__main__":
    main()
