"""How long does an allreduce take on this machine, and how long does Gloo's?

    python benchmarks/allreduce.py --ranks 2 --kilobytes 1 64 1024 10240 102400
    python benchmarks/allreduce.py --transports tcp unix shm
    python benchmarks/allreduce.py --transports tcp tcp+mac tcp+crc tcp+bf16 tcp+fp16

Every rank is a process; TCP runs on the loopback address. Where PyTorch is installed, its Gloo
backend works in the same processes on the same array, all of them in turns. Their sums are checked
before anything is timed. Prints medians over the calls: wall time of the slowest rank, and
processor time of all threads of a rank, which a busy machine disturbs less.
"""

from __future__ import annotations

import argparse
import contextlib
import functools
import multiprocessing
import os
import platform
import statistics
import tempfile
import time
from collections.abc import Callable
from multiprocessing.connection import Connection
from pathlib import Path

import numpy as np

from minicaffe.distributed.auth import new_secret
from minicaffe.distributed.communicator import Communicator
from minicaffe.distributed.rendezvous import connect
from minicaffe.distributed.transport import known_schemes

GLOO = "gloo"
BETWEEN_PROCESSES = [name for name in known_schemes() if name != "inproc"]
WITH = ("mac", "crc", "bf16", "fp16")  # of frames, and of what is in them
TOLERANCE = {"bf16": 4e-2, "fp16": 4e-3}


class PipeRendezvous:
    """The ranks are child processes; the parent passes the addresses on."""

    def __init__(self, parent: Connection) -> None:
        self._parent = parent

    def allgather(self, address: str) -> list[str]:
        """All addresses, from the parent."""
        self._parent.send(address)
        addresses: list[str] = self._parent.recv()
        return addresses


def gloo(rank: int, ranks: int, folder: str) -> Callable[[np.ndarray], None] | None:
    """Gloo's allreduce in place, None without PyTorch."""
    try:
        import torch
        from torch import distributed
    except ImportError:
        return None
    torch.set_num_threads(1)
    store = f"file://{folder}/gloo"
    distributed.init_process_group("gloo", init_method=store, rank=rank, world_size=ranks)
    return lambda array: distributed.all_reduce(torch.from_numpy(array))


def work(
    rank: int, options: argparse.Namespace, parent: Connection, secret: bytes, folder: str
) -> None:
    """One rank: the seconds of every call, by name, for each count of float32."""
    with contextlib.ExitStack() as at_end:
        rings = {}
        for name in options.transports:
            scheme, *more = name.split("+")
            meeting, url = PipeRendezvous(parent), f"{scheme}://127.0.0.1:0"
            checks = {each: each in more for each in ("mac", "crc")}
            ring = connect(meeting, rank, options.ranks, url, secret=secret, **checks)
            rings[name] = at_end.enter_context(ring)
        calls = {name: call_of(name, ring) for name, ring in rings.items()}
        if (rival := gloo(rank, options.ranks, folder)) is not None:
            calls[GLOO] = rival
        ring = next(iter(rings.values()))
        for kilobytes in options.kilobytes:
            check(ring, calls, kilobytes * 256)
            parent.send(measure(ring, calls, kilobytes * 256))
        ring.barrier()
        parent.recv()
        os._exit(0)  # Gloo's threads may outlive an orderly end


def contender(text: str) -> str:
    """A transport, with what is to be done with its frames: tcp, tcp+mac, shm+bf16."""
    scheme, *more = text.split("+")
    if scheme not in BETWEEN_PROCESSES or not set(more) <= set(WITH):
        known = f"{', '.join(BETWEEN_PROCESSES)}, with +{', +'.join(WITH)}"
        raise argparse.ArgumentTypeError(f"{text}: one of {known} is expected")
    return text


def call_of(name: str, ring: Communicator) -> Callable[[np.ndarray], None]:
    """The allreduce of a contender."""
    rounded = [way for way in TOLERANCE if way in name.split("+")]
    return functools.partial(ring.allreduce, compress=rounded[0] if rounded else "none")


def check(ring: Communicator, calls: dict[str, Callable[[np.ndarray], None]], count: int) -> None:
    """Every sum is right and the same on all ranks."""
    terms = [
        np.random.default_rng(rank).random(count, np.float32) for rank in range(ring.world_size)
    ]
    total = np.sum(terms, axis=0, dtype=np.float64)
    for name, call in calls.items():
        array = terms[ring.rank].copy()
        call(array)
        if not np.allclose(array, total, rtol=TOLERANCE.get(name.rpartition("+")[2], 1e-5)):
            raise SystemExit(f"{name}: wrong sum of {count} elements")
        if len(set(ring.allgather_bytes(array.tobytes()[: 1 << 20]))) != 1:
            raise SystemExit(f"{name}: {count} elements differ between ranks")


def measure(
    ring: Communicator, calls: dict[str, Callable[[np.ndarray], None]], count: int
) -> dict[str, list[tuple[float, float]]]:
    """Wall and processor seconds of each call, the names in turns and in alternating order."""
    array = np.zeros(count, np.float32)
    seconds: dict[str, list[tuple[float, float]]] = {name: [] for name in calls}
    for turn in range(max(9, min(60, 100_000_000 // count))):
        for name in list(calls)[:: 1 if turn % 2 else -1]:
            ring.barrier()
            wall, processor = time.perf_counter(), time.process_time()
            calls[name](array)
            spent = time.perf_counter() - wall, time.process_time() - processor
            seconds[name].append(spent)
    return seconds


def main() -> None:
    """Start the ranks, print a table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--ranks", type=int, default=2)
    parser.add_argument("--kilobytes", type=int, nargs="+", default=[1, 64, 1024, 10240, 102400])
    parser.add_argument("--transports", nargs="+", default=["tcp"], type=contender)
    options = parser.parse_args()
    os.environ.setdefault("GLOO_SOCKET_IFNAME", "lo")
    start = multiprocessing.get_context("spawn")
    secret = new_secret()
    with tempfile.TemporaryDirectory() as folder:
        pipes, children = [], []
        for rank in range(options.ranks):
            here, there = start.Pipe()
            job = (rank, options, there, secret, folder)
            children.append(start.Process(target=work, args=job, daemon=True))
            children[-1].start()
            there.close()
            pipes.append(here)
        for _ in options.transports:
            addresses = [pipe.recv() for pipe in pipes]
            for pipe in pipes:
                pipe.send(addresses)
        print(
            f"{options.ranks} ranks, {os.cpu_count()} cores ({cpu()}), load "
            f"{os.getloadavg()[0]:.1f}, Python {platform.python_version()}, "
            f"NumPy {np.__version__}"
        )
        names = [*options.transports, GLOO]
        columns = [
            "KB",
            *(f"{name}, ms" for name in names),
            *(f"{GLOO} / {name}" for name in options.transports),
            *(f"{name}, cpu ms" for name in names),
        ]
        print(f"| {' | '.join(columns)} |", "|---" * len(columns) + "|", sep="\n")
        for kilobytes in options.kilobytes:
            print(row(kilobytes, names, [pipe.recv() for pipe in pipes]), flush=True)
        for pipe in pipes:
            pipe.send("done")
        for child in children:
            child.join()


def row(
    kilobytes: int, names: list[str], of_ranks: list[dict[str, list[tuple[float, float]]]]
) -> str:
    """One line of the table; a contender that is not there has dashes."""
    wall, processor = {}, {}
    for name in of_ranks[0]:
        turns = list(zip(*(rank[name] for rank in of_ranks), strict=True))
        wall[name] = 1e3 * statistics.median(max(spent[0] for spent in turn) for turn in turns)
        processor[name] = 1e3 * statistics.median(spent[1] for turn in turns for spent in turn)
    cells = [f"{wall[name]:.3f}" if name in wall else "-" for name in names]
    cells += [f"{wall[GLOO] / wall[name]:.2f}" if GLOO in wall else "-" for name in names[:-1]]
    cells += [f"{processor[name]:.3f}" if name in processor else "-" for name in names]
    return f"| {kilobytes} | {' | '.join(cells)} |"


def cpu() -> str:
    """The processor's name, where the system tells it."""
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        return platform.machine()
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.machine()


if __name__ == "__main__":
    main()
