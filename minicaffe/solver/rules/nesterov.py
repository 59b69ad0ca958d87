"""Nesterov's accelerated gradient (Sutskever, Martens, Dahl and Hinton, 2013)."""

from collections.abc import Sequence
from typing import Any

from ..solver import Solver
from ..update import Step


class NesterovSolver(Solver):
    """h' = momentum h + rate g,  w -= (1 + momentum) h' - momentum h."""

    type = "Nesterov"
    kernel = "nesterov"

    def update(self, data: Any, diff: Any, history: Sequence[Any], step: Step) -> None:
        """Momentum, corrected by the gradient at the point it leads to."""
        self.ops.update(data, diff, *history, self.param.momentum, *step.scalars())
