"""Nesterov's accelerated gradient (Sutskever, Martens, Dahl and Hinton, 2013)."""

from typing import Any

from ..solver import Solver


class NesterovSolver(Solver):
    """h' = momentum h + rate g,  w -= (1 + momentum) h' - momentum h."""

    type = "Nesterov"

    def numbers(self) -> tuple[float, ...]:
        """The momentum."""
        return (self.param.momentum,)

    @staticmethod
    def rule(w: Any, g: Any, rate: Any, h: Any, momentum: Any) -> tuple[Any, ...]:
        """Momentum, corrected by the gradient at the point it leads to."""
        after = momentum * h + rate * g
        return (1 + momentum) * after - momentum * h, after
