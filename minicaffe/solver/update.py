"""From accumulated gradients to changed parameters: what comes before and around an update rule."""

from __future__ import annotations

import logging
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from ..device import load_kernel

if TYPE_CHECKING:
    from ..net.parameters import FlatParams
    from .solver import Solver

log = logging.getLogger("minicaffe.solver")

F = np.float32


@dataclass(frozen=True)
class Step:
    """The scalars of an update that every rule takes."""

    rate: float  # times the parameter's multiplier
    clip: float  # the factor that brings the gradients down to the greatest norm
    normalizer: float  # 1 / iter_size
    decay: float  # times the parameter's multiplier
    l1: bool  # decay by the sign of the weight instead of the weight

    def scalars(self) -> tuple[float, float, float, float, bool]:
        """As the kernels take them, at the end of their arguments."""
        return self.rate, self.clip, self.normalizer, self.decay, self.l1


def update_parameters(solver: Solver, rate: np.float32) -> None:
    """Change every parameter by the solver's rule, in one pass over the flat buffers."""
    param, params = solver.param, solver.net.flat_params
    clip = clip_factor(solver)
    data = params.data.update(solver.device)
    diff = params.diff.update(solver.device)
    history = [array.update(solver.device) for array in solver.history]
    normalizer = float(F(1) / F(param.iter_size))
    decay, l1 = F(param.weight_decay), param.regularization_type == "L1"
    for where, lr_mult, decay_mult in runs(params):
        step = Step(
            rate=float(rate * F(lr_mult)),
            clip=clip,
            normalizer=normalizer,
            decay=float(decay * F(decay_mult)),
            l1=l1,
        )
        solver.update(data[where], diff[where], [each[where] for each in history], step)


def runs(params: FlatParams) -> list[tuple[slice, float, float]]:
    """The flat buffers cut where the multipliers (of the rate, of the decay) change."""
    found: list[tuple[slice, float, float]] = []
    for where, *mults in zip(params.slices, params.lr_mults, params.decay_mults, strict=True):
        if found and [*found[-1][1:]] == mults:
            where = slice(found.pop()[0].start, where.stop)
        found.append((where, mults[0], mults[1]))
    return found


def clip_factor(solver: Solver) -> float:
    """The factor that brings the norm of all gradients down to clip_gradients; 1 below it."""
    limit = solver.param.clip_gradients
    if limit < 0:
        return 1.0
    diff = solver.net.flat_params.diff.read(solver.device)
    norm = load_kernel("norm", solver.device).sum_of_squares(diff) ** 0.5
    if not norm > limit:
        return 1.0
    factor = float(F(limit) / F(norm))
    if solver.root:
        log.info(
            "Gradient clipping: scaling down gradients (L2 norm %g > %g) by scale factor %g",
            norm, limit, factor,
        )  # fmt: skip
    return factor
