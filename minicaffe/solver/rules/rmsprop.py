"""RMSProp (Tieleman and Hinton, 2012)."""

from collections.abc import Sequence
from typing import Any

from ...errors import SolverError
from ..solver import Solver
from ..update import Step


class RMSPropSolver(Solver):
    """h = rms_decay h + (1 - rms_decay) g^2,  w -= rate g / (sqrt(h) + delta)."""

    type = "RMSProp"
    kernel = "rmsprop"

    def check(self) -> None:
        """RMSProp has no momentum, and 0 <= rms_decay < 1."""
        super().check()
        param = self.param
        if param.momentum != 0:
            raise SolverError(f"RMSProp has no momentum, it must be 0, not {param.momentum:g}")
        if not 0 <= param.rms_decay < 1:
            raise SolverError(f"rms_decay must be in [0, 1), not {param.rms_decay:g}")

    def update(self, data: Any, diff: Any, history: Sequence[Any], step: Step) -> None:
        """Divide by a running root mean square of the gradient."""
        param = self.param
        self.ops.update(data, diff, *history, param.rms_decay, param.delta, *step.scalars())
