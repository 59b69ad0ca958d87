"""AdaGrad (Duchi, Hazan and Singer, 2011)."""

from typing import Any

import numpy as np

from ...errors import SolverError
from ..solver import Solver


class AdaGradSolver(Solver):
    """h += g^2,  w -= rate g / (sqrt(h) + delta)."""

    type = "AdaGrad"

    def check(self) -> None:
        """AdaGrad has no momentum."""
        super().check()
        if self.param.momentum != 0:
            raise SolverError(f"AdaGrad has no momentum, it must be 0, not {self.param.momentum:g}")

    def numbers(self) -> tuple[float, ...]:
        """What keeps the root above 0."""
        return (self.param.delta,)

    @staticmethod
    def rule(w: Any, g: Any, rate: Any, h: Any, delta: Any) -> tuple[Any, ...]:
        """Each weight's rate falls with the squares of its gradients so far."""
        h = h + g * g
        return rate * (g / (np.sqrt(h) + delta)), h
