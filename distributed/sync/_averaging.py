"""What the ways have in common that let ranks train apart for a while and then average."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence

import numpy as np

from minicaffe.blob import SyncedArray
from minicaffe.solver.callbacks import Iteration
from minicaffe.solver.solver import Solver

from ..communicator import Array, Communicator
from . import Sync


class AveragingSync(Sync, ABC):
    """Local updates; the weights are averaged after every iteration whose number `every` divides.

    They are also averaged at a test, a snapshot and the end, so that what is tested and written is
    the mean of all ranks. A snapshot holds one solver history: there the ranks average theirs too.
    So a run that goes on from a snapshot gives the bits of the run that wrote it.
    """

    averages_history = False

    def __init__(self, communicator: Communicator, every: int) -> None:
        super().__init__(communicator)
        self.every = every
        self._apart = False  # whether the ranks have made updates of their own
        self._histories_apart = False

    @abstractmethod
    def add_up(self, array: Array) -> None:
        """Leave the sum of all ranks' arrays on rank 0, in an order that is always the same."""

    @property
    def equal(self) -> bool:
        """Only when the weights have just been averaged."""
        return not self._apart

    def on_iteration(self, solver: Solver, done: Iteration) -> None:
        """Average where it is time."""
        self._apart = self._histories_apart = True
        if solver.iter % self.every == 0 or solver.iter == solver.param.max_iter:
            self.settle(solver)

    def settle(self, solver: Solver) -> None:
        """Average the weights, unless they are equal."""
        if self._apart:
            self._average([solver.net.flat_params.data])
            solver.net.flat_params.spread()
            self._apart = False
            if self.averages_history:
                self._settle_history(solver)

    def gather_random_states(self, solver: Solver) -> list[bytes]:
        """A snapshot begins: average the history too."""
        states = super().gather_random_states(solver)
        self._settle_history(solver)
        return states

    def _settle_history(self, solver: Solver) -> None:
        if self._histories_apart:
            self._average(solver.history)
            self._histories_apart = False

    def _average(self, arrays: Sequence[SyncedArray]) -> None:
        with self._waiting(), self._counting():
            for synced in arrays:
                array = synced.update("cpu")
                self.add_up(array)
                array *= np.float32(1 / self.communicator.world_size)
                self.communicator.broadcast(array)
