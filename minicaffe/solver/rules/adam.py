"""Adam (Kingma and Ba, 2015), with epsilon added to the uncorrected root (their section 2)."""

from typing import Any

import numpy as np

from ...errors import SolverError
from ..solver import Solver


class AdamSolver(Solver):
    """m = b1 m + (1 - b1) g,  v = b2 v + (1 - b2) g^2,  w -= rate c m / (sqrt(v) + delta).

    b1 = momentum, b2 = momentum2, c = sqrt(1 - b2^t) / (1 - b1^t) in iteration t from 1.
    """

    type = "Adam"
    history_sets = 2

    def check(self) -> None:
        """Both means must decay."""
        super().check()
        for name in ("momentum", "momentum2"):
            if not 0 <= getattr(self.param, name) < 1:
                value = getattr(self.param, name)
                raise SolverError(f"Adam needs {name} in [0, 1), not {value:g}")

    def numbers(self) -> tuple[float, ...]:
        """The decays of both means, what keeps the root above 0, and the correction of the bias
        that the means have at first, from zeros."""
        beta1, beta2, t = self.param.momentum, self.param.momentum2, self.iter + 1
        correction = (1 - beta2**t) ** 0.5 / (1 - beta1**t)
        return beta1, beta2, self.param.delta, correction

    @staticmethod
    def rule(
        w: Any, g: Any, rate: Any, m: Any, v: Any, b1: Any, b2: Any, delta: Any, c: Any
    ) -> tuple[Any, ...]:
        """A running mean of the gradient over the root of one of its square."""
        m = b1 * m + (1 - b1) * g
        v = b2 * v + (1 - b2) * (g * g)
        return rate * c * (m / (np.sqrt(v) + delta)), m, v
