"""Stochastic gradient descent with momentum."""

from typing import Any

from ..solver import Solver


class SGDSolver(Solver):
    """h = momentum h + rate g,  w -= h."""

    type = "SGD"

    def numbers(self) -> tuple[float, ...]:
        """The momentum."""
        return (self.param.momentum,)

    @staticmethod
    def rule(w: Any, g: Any, rate: Any, h: Any, momentum: Any) -> tuple[Any, ...]:
        """Momentum on the scaled gradient."""
        h = momentum * h + rate * g
        return h, h
