"""sparknet: tau local steps, then the driver averages the weights (Moritz and others, 2016).

# P ranks, S bytes of weights, every tau iterations:
#   into the driver  (P - 1) S bytes, a message a rank
#   out of it        S bytes, which the ranks pass on

SparkNet's driver broadcasts the weights, every worker takes tau steps of SGD by itself, and the
driver collects the weights and divides their sum by the number of workers. Solver history
(momentum) stays with the worker.

Here rank 0 has the driver's part, since a driver of ours trains nothing and holds no weights. As
there, every rank sends its weights whole, and one place takes them all and adds them up: its link
carries (P - 1) S bytes a round, which is the price of this way. Ours is a ring, so the ranks
between pass on what they would not see in a star: rank r sends r S bytes a round, and S for the
broadcast.
"""

from __future__ import annotations

from typing import ClassVar

from ..communicator import Array, Communicator
from . import Parameter, whole_number
from ._averaging import AveragingSync

TAU = 10  # SparkNet's syncInterval for MNIST and CIFAR-10


class SparknetSync(AveragingSync):
    """Weights averaged by rank 0 every `tau` iterations; momentum is each rank's own."""

    parameters: ClassVar = {"tau": Parameter(TAU, whole_number)}

    def __init__(self, communicator: Communicator, tau: int = TAU) -> None:
        super().__init__(communicator, tau)

    def add_up(self, array: Array) -> None:
        """Rank 0 adds what comes from P - 1, P - 2, ... 1: the nearest on its left first."""
        for source in reversed(range(1, self.communicator.world_size)):
            self.communicator.add_to(array, source, 0)
