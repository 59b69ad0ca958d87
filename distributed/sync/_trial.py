"""A trial of two ways to make an iteration that give the same bits: which is the faster one here?

The ranks take the ways in turn for some iterations, and then compare the medians of all: what they
agree on is one decision, though each has a clock of its own.

    iteration  0 .. 3    4      5      6      7          23         24
               warm up   late   early  late   early ...  early      what was faster
"""

from __future__ import annotations

import statistics

import numpy as np

from ..communicator import Communicator

WARM_UP = 4  # iterations that do not count: kernels are compiled, caches filled
TURNS = 10  # of each way


class Trial:
    """Which of the ways, early or not, an iteration is to take, until all ranks have decided.

    decided: None as long as the trial goes on, then whether early is the faster way.
    seconds: the medians of (late, early) over the ranks, when it is decided.
    """

    def __init__(self, communicator: Communicator) -> None:
        self._communicator = communicator
        self._made = 0
        self._times: tuple[list[float], list[float]] = ([], [])
        self.decided: bool | None = None
        self.seconds = (0.0, 0.0)

    @property
    def early(self) -> bool:
        """The way of the coming iteration."""
        return self._made % 2 == 1 if self.decided is None else self.decided

    def took(self, seconds: float) -> None:
        """An iteration is made; all ranks call it after the same ones."""
        if self.decided is not None:
            return
        if self._made >= WARM_UP:
            self._times[self.early].append(seconds)
        self._made += 1
        if self._made == WARM_UP + 2 * TURNS:
            self._decide()

    def _decide(self) -> None:
        medians = np.zeros((self._communicator.world_size, 2))
        medians[self._communicator.rank] = [statistics.median(times) for times in self._times]
        self._communicator.allgather(medians.reshape(-1))
        late, early = np.median(medians, axis=0).tolist()
        self.seconds = late, early
        self.decided = early < late
