"""dl4j: weights and updater state averaged every k minibatches, by a tree, as DL4J on Spark does.

# P ranks, S bytes of weights, H of solver history, every k iterations:
#   up the tree      a message of S + H bytes from each rank but the root, in log2 P rounds
#   back             S + H bytes a rank (the broadcast walks round the ring)

Deeplearning4j's ParameterAveragingTrainingMaster lets every worker fit `averagingFrequency`
minibatches, adds parameters and updater state up by Spark's treeAggregate, divides, and sends both
to the workers anew. So momentum is the mean of all ranks' too (saveUpdater is on there by default).

The tree is a binomial one: in round i, ranks whose place has i zeros at its end add the sum of the
rank 2^i places on. Its edges lie along our ring: one of 2^i hops is passed on by the 2^i - 1 ranks
between, at the same time as the others of its round. A link carries at most (S + H) log2 P bytes up
where sparknet's into the driver carries S (P - 1).
"""

from __future__ import annotations

from typing import ClassVar

from ..communicator import Array, Communicator
from . import Parameter, whole_number
from ._averaging import AveragingSync

K = 5  # DL4J's averagingFrequency


class Dl4jSync(AveragingSync):
    """Weights and history averaged every `k` iterations; all ranks are equal then."""

    parameters: ClassVar = {"k": Parameter(K, whole_number)}
    averages_history = True

    def __init__(self, communicator: Communicator, k: int = K) -> None:
        super().__init__(communicator, k)

    def add_up(self, array: Array) -> None:
        """Places count from the root against the ring's direction: 0, then rank P - 1, P - 2 ..."""
        ranks = self.communicator.world_size
        step = 1
        while step < ranks:
            for place in range(step, ranks, 2 * step):
                self.communicator.add_to(array, -place % ranks, (step - place) % ranks)
            step *= 2
