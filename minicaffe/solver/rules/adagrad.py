"""AdaGrad (Duchi, Hazan and Singer, 2011)."""

from collections.abc import Sequence
from typing import Any

from ...errors import SolverError
from ..solver import Solver
from ..update import Step


class AdaGradSolver(Solver):
    """h += g^2,  w -= rate g / (sqrt(h) + delta)."""

    type = "AdaGrad"
    kernel = "adagrad"

    def check(self) -> None:
        """AdaGrad has no momentum."""
        super().check()
        if self.param.momentum != 0:
            raise SolverError(f"AdaGrad has no momentum, it must be 0, not {self.param.momentum:g}")

    def update(self, data: Any, diff: Any, history: Sequence[Any], step: Step) -> None:
        """Each weight's rate falls with the squares of its gradients so far."""
        self.ops.update(data, diff, *history, self.param.delta, *step.scalars())
