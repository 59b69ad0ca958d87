"""Stochastic gradient descent with momentum."""

from collections.abc import Sequence
from typing import Any

from ..solver import Solver
from ..update import Step


class SGDSolver(Solver):
    """h = momentum h + rate g,  w -= h."""

    type = "SGD"
    kernel = "sgd"

    def update(self, data: Any, diff: Any, history: Sequence[Any], step: Step) -> None:
        """Momentum on the scaled gradient."""
        self.ops.update(data, diff, *history, self.param.momentum, *step.scalars())
