"""Validation that all ranks take part in: each runs a share of a test's batches."""

from __future__ import annotations

import numpy as np

from minicaffe.layer import Layer
from minicaffe.net.net import Net
from minicaffe.net.scores import Scores, output_values
from minicaffe.solver.solver import Solver

from .communicator import Communicator
from .sync import Sync


class SharedTest:
    """The callback that divides each test among the ranks; `sync` is the solver's.

    Of a test's T batches rank r of W runs numbers r T / W to (r + 1) T / W, found by `net.seek`, so
    that all ranks together see what one rank would; the means are formed of the ranks' sums. Where
    a test net has a data layer that cannot seek, the root tests alone.
    """

    def __init__(self, communicator: Communicator, sync: Sync) -> None:
        self.communicator = communicator
        self.sync = sync

    def run_test(self, solver: Solver, index: int) -> Scores | None:
        """The means of test net `index` over its test_iter batches, the same on all ranks."""
        self.sync.on_start(solver)  # the first test comes before the ranks have been made equal
        self.sync.settle(solver)
        solver.build_test_nets()
        if not all(can_seek(net) for net in solver.test_nets):
            return solver.run_test(index) if solver.root else None
        net = solver.test_nets[index]
        net.share_trained_from(solver.net)
        rank, ranks = self.communicator.rank, self.communicator.world_size
        batches = solver.param.test_iter[index]
        first, end = rank * batches // ranks, (rank + 1) * batches // ranks
        names, values = output_values(net)
        sums = np.zeros(len(values) + 1, np.float64)
        net.seek(tests_before(solver) * batches + first)
        for _ in range(first, end):
            sums[-1] += net.forward_pass()
            sums[:-1] += output_values(net)[1]
        self.communicator.allreduce(sums)
        means = sums / batches
        return Scores(names, means[:-1].astype(np.float32), float(means[-1]))


def tests_before(solver: Solver) -> int:
    """How many tests a run has made when it comes to that of this iteration."""
    param = solver.param
    return solver.iter // param.test_interval - (not param.test_initialization)


def can_seek(net: Net) -> bool:
    """Whether every layer that brings data in knows how to go to a batch."""
    return all(node.bottoms or type(node.layer).seek is not Layer.seek for node in net.nodes)
