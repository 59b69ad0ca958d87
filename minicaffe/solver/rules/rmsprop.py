"""RMSProp (Tieleman and Hinton, 2012)."""

from typing import Any

import numpy as np

from ...errors import SolverError
from ..solver import Solver


class RMSPropSolver(Solver):
    """h = rms_decay h + (1 - rms_decay) g^2,  w -= rate g / (sqrt(h) + delta)."""

    type = "RMSProp"

    def check(self) -> None:
        """RMSProp has no momentum, and 0 <= rms_decay < 1."""
        super().check()
        param = self.param
        if param.momentum != 0:
            raise SolverError(f"RMSProp has no momentum, it must be 0, not {param.momentum:g}")
        if not 0 <= param.rms_decay < 1:
            raise SolverError(f"rms_decay must be in [0, 1), not {param.rms_decay:g}")

    def numbers(self) -> tuple[float, ...]:
        """The decay of the mean, and what keeps its root above 0."""
        return self.param.rms_decay, self.param.delta

    @staticmethod
    def rule(w: Any, g: Any, rate: Any, h: Any, rms_decay: Any, delta: Any) -> tuple[Any, ...]:
        """Divide by a running root mean square of the gradient."""
        h = rms_decay * h + (1 - rms_decay) * (g * g)
        return rate * (g / (np.sqrt(h) + delta)), h
