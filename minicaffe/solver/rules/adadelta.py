"""AdaDelta (Zeiler, 2012)."""

from collections.abc import Sequence
from typing import Any

from ..solver import Solver
from ..update import Step


class AdaDeltaSolver(Solver):
    """h and u: running means (decay `momentum`) of g^2 and of the squared steps s^2.

    s = g sqrt((u + delta) / (h + delta)),  w -= rate s.
    """

    type = "AdaDelta"
    kernel = "adadelta"
    history_sets = 2

    def update(self, data: Any, diff: Any, history: Sequence[Any], step: Step) -> None:
        """Scale the gradient to the size of the steps so far."""
        param = self.param
        self.ops.update(data, diff, *history, param.momentum, param.delta, *step.scalars())
