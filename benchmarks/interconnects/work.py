"""What a rank can be told to do; the suite calls the same method on all ranks at once."""

from __future__ import annotations

import time
from collections.abc import Callable
from contextlib import ExitStack
from typing import Any

import numpy as np

from minicaffe.distributed.communicator import Communicator

from .contenders import Call, join
from .crew import Seat, Suite
from .netlab import sent

CHECKED = 1 << 20  # bytes of each sum that are compared between ranks, bit by bit
PERIOD = 999_983  # terms repeat after so many elements: a prime, no segment or chunk falls on it


class Rank:
    """One rank: its contenders, by name."""

    def __init__(self, suite: Suite, rank: int, seats: list[Seat]) -> None:
        self.suite = suite
        self.rank = rank
        self.ranks = len(seats)
        self.seat = seats[rank]
        self._calls: dict[str, Call] = {}
        self._rings: dict[str, Communicator] = {}
        self._end = ExitStack()
        self._trainee: Any = None

    def join(self, names: list[str], secret: bytes) -> None:
        """Let these contenders form their groups."""
        for name in names:
            call, ring = join(name, self.suite, self.rank, self.ranks, self.seat, secret, self._end)
            self._calls[name] = call
            if ring is not None:
                self._rings[name] = ring

    def check(self, count: int) -> tuple[list[str], float]:
        """What is wrong with the contenders' sums of so many float32, in words; and the seconds
        that all of them together took for one.
        """
        total, mine = np.zeros(count, np.float32), np.zeros(0, np.float32)
        for rank in range(self.ranks):
            pattern = np.random.default_rng(rank).random(min(count, PERIOD), np.float32)
            term = np.resize(pattern, count)
            total += term
            mine = term if rank == self.rank else mine
        wrong, took = [], 0.0
        for name, call in self._calls.items():
            array = mine.copy()
            self.suite.barrier()
            began = time.perf_counter()
            call(array)
            took += time.perf_counter() - began
            seen = self.suite.allgather(
                (bool(np.allclose(array, total, rtol=1e-5)), array.tobytes()[:CHECKED])
            )
            if not all(right for right, _ in seen):
                wrong.append(f"{name}: wrong sum of {count} elements")
            elif len({first for _, first in seen}) > 1:
                wrong.append(f"{name}: {count} elements differ between ranks")
        return wrong, max(self.suite.allgather(took))

    def measure(self, count: int, turns: int, calls: int) -> dict[str, list[tuple[float, float]]]:
        """Wall and processor seconds of a call, by contender and turn: so many calls in a row.

        All in turns, in an order that is turned round each time; the first turn warms up.
        """
        array = np.zeros(count, np.float32)
        seconds: dict[str, list[tuple[float, float]]] = {name: [] for name in self._calls}
        meet = self._meeting()
        for turn in range(-1, turns):
            for name in list(self._calls)[:: 1 if turn % 2 else -1]:
                call = self._calls[name]
                meet()
                wall, processor = time.perf_counter(), time.process_time()
                for _ in range(calls):
                    call(array)
                spent = time.perf_counter() - wall, time.process_time() - processor
                if turn >= 0:
                    seconds[name].append((spent[0] / calls, spent[1] / calls))
        return seconds

    def traffic(self, count: int, calls: int) -> dict[str, float]:
        """Bytes that this rank's interface has sent a call, by contender."""
        array = np.zeros(count, np.float32)
        found = {}
        for name, call in self._calls.items():
            self.suite.barrier()
            before = sent(self.seat.interface)
            self.suite.barrier()
            for _ in range(calls):
                call(array)
            self.suite.barrier()
            found[name] = (sent(self.seat.interface) - before) / calls
        return found

    def versions(self) -> dict[str, str]:
        """The versions of the contenders that are not ours."""
        found = {}
        if "gloo" in self._calls:
            import torch

            found["gloo"] = f"PyTorch {torch.__version__}"
        if "mpi" in self._calls:
            from mpi4py import MPI

            words = MPI.Get_library_version().replace(",", " ").split()
            found["mpi"] = " ".join(words[:3])
        return found

    def _meeting(self) -> Callable[[], Any]:
        """A barrier whose ranks leave it close together."""
        ring = next(iter(self._rings.values()), None)
        return ring.barrier if ring is not None else self.suite.barrier

    # --- training ------------------------------------------------------------------------------

    def prepare(self, net: str, batch: int, ways: dict[str, tuple[str, str]]) -> None:
        """Be ready to train a net; one that was there before goes."""
        from .trainee import Trainee

        if self._trainee is not None:
            self._trainee.close()
        self._trainee = None
        self._trainee = Trainee(net, batch, ways, self._rings, self.rank)

    def layers(self, passes: int) -> dict[str, Any]:
        """The parts of an iteration, without communication, all ranks at once."""
        self.suite.barrier()
        parts: dict[str, Any] = self._trainee.layers(passes)
        return parts

    def train(self, way: str, iterations: int) -> dict[str, list[float]]:
        """So many iterations."""
        self.suite.barrier()
        times: dict[str, list[float]] = self._trainee.measure(way, iterations)
        return times

    def bytes_sent(self) -> int:
        """What the rings have given to the neighbour so far, without headers."""
        return sum(ring.bytes_sent for ring in self._rings.values())

    def time_device(self, net: str, batch: int, device: str) -> dict[str, Any]:
        """What an iteration costs on a device."""
        from .devices import timed

        return timed(net, batch, device)
