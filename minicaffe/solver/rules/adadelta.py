"""AdaDelta (Zeiler, 2012)."""

from typing import Any

import numpy as np

from ..solver import Solver


class AdaDeltaSolver(Solver):
    """h and u: running means (decay `momentum`) of g^2 and of the squared steps s^2.

    s = g sqrt((u + delta) / (h + delta)),  w -= rate s.
    """

    type = "AdaDelta"
    history_sets = 2

    def numbers(self) -> tuple[float, ...]:
        """The decay of the means, and what is added to them."""
        return self.param.momentum, self.param.delta

    @staticmethod
    def rule(
        w: Any, g: Any, rate: Any, h: Any, u: Any, momentum: Any, delta: Any
    ) -> tuple[Any, ...]:
        """Scale the gradient to the size of the steps so far."""
        h = momentum * h + (1 - momentum) * (g * g)
        step = g * np.sqrt((u + delta) / (h + delta))
        u = momentum * u + (1 - momentum) * (step * step)
        return rate * step, h, u
