"""Adam (Kingma and Ba, 2015), with epsilon added to the uncorrected root (their section 2)."""

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from ...errors import SolverError
from ..solver import Solver
from ..update import Step


class AdamSolver(Solver):
    """m = b1 m + (1 - b1) g,  v = b2 v + (1 - b2) g^2,  w -= rate c m / (sqrt(v) + delta).

    b1 = momentum, b2 = momentum2, c = sqrt(1 - b2^t) / (1 - b1^t) in iteration t from 1.
    """

    type = "Adam"
    kernel = "adam"
    history_sets = 2

    def check(self) -> None:
        """Both means must decay."""
        super().check()
        for name in ("momentum", "momentum2"):
            if not 0 <= getattr(self.param, name) < 1:
                value = getattr(self.param, name)
                raise SolverError(f"Adam needs {name} in [0, 1), not {value:g}")

    def update(self, data: Any, diff: Any, history: Sequence[Any], step: Step) -> None:
        """A running mean of the gradient over the root of one of its square."""
        param = self.param
        beta1, beta2, t = param.momentum, param.momentum2, self.iter + 1
        correction = np.float32((1 - beta2**t) ** 0.5 / (1 - beta1**t))
        step = replace(step, rate=float(np.float32(step.rate) * correction))
        self.ops.update(data, diff, *history, beta1, beta2, param.delta, *step.scalars())
