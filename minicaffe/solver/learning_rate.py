"""The learning rate as a function of the iteration: `lr_policy` and its parameters.

Arithmetic is Caffe's: float32, powers with whole exponents in float64.
"""

from __future__ import annotations

import logging
from collections.abc import Callable

import numpy as np

from ..errors import SolverError
from ..proto import minicaffe_pb2 as pb

log = logging.getLogger("minicaffe")

F = np.float32


class LearningRate:
    """The rate of a solver, before the multipliers of parameters: `rate(iteration)`.

    `current_step` counts the drops so far (step, multistep); it is part of a solver's state.
    Raises SolverError for an unknown policy and for parameters that the policy refuses.
    """

    def __init__(self, param: pb.SolverParameter) -> None:
        self.param = param
        self.current_step = 0
        if param.HasField("lr_policy"):
            self._check()

    def __call__(self, iteration: int) -> np.float32:
        """The rate of an iteration; to be asked in order, for multistep counts its steps."""
        policy = self._check()
        with np.errstate(all="ignore"):
            rate = policy(self, iteration)
        if not np.isfinite(rate):
            raise SolverError(f"lr_policy '{self.param.lr_policy}' gives {rate} at iteration "
                              f"{iteration} (base_lr {self.param.base_lr:g})")  # fmt: skip
        return rate

    def _check(self) -> Policy:
        name = self.param.lr_policy
        if name not in POLICIES:
            raise SolverError(f"no lr_policy '{name}' (there are: {', '.join(POLICIES)})")
        for field in NEEDED.get(name, ()):
            if not getattr(self.param, field) > 0:
                raise SolverError(f"lr_policy '{name}' needs {field} > 0, "
                                  f"not {getattr(self.param, field)}")  # fmt: skip
        if name in ("step", "multistep", "exp") and not self.param.gamma >= 0:
            raise SolverError(f"lr_policy '{name}' needs gamma >= 0, not {self.param.gamma:g}")
        return POLICIES[name]

    def fixed(self, iteration: int) -> np.float32:
        """base_lr"""
        return F(self.param.base_lr)

    def step(self, iteration: int) -> np.float32:
        """base_lr gamma^floor(iteration / stepsize)"""
        self.current_step = iteration // self.param.stepsize
        return self._decayed(self.current_step)

    def exp(self, iteration: int) -> np.float32:
        """base_lr gamma^iteration"""
        return self._decayed(iteration)

    def inv(self, iteration: int) -> np.float32:
        """base_lr (1 + gamma iteration)^-power"""
        base = F(1) + F(self.param.gamma) * F(iteration)
        return self._scaled(_power(base, -self.param.power))

    def multistep(self, iteration: int) -> np.float32:
        """base_lr gamma^current_step, a step more at each stepvalue (one an iteration at most)"""
        steps = self.param.stepvalue
        if self.current_step < len(steps) and iteration >= steps[self.current_step]:
            self.current_step += 1
            log.info("MultiStep Status: Iteration %d, step = %d", iteration, self.current_step)
        return self._decayed(self.current_step)

    def poly(self, iteration: int) -> np.float32:
        """base_lr (1 - iteration / max_iter)^power"""
        left = F(1) - F(iteration) / F(self.param.max_iter)
        return self._scaled(_power(left, self.param.power))

    def sigmoid(self, iteration: int) -> np.float32:
        """base_lr / (1 + e^(-gamma (iteration - stepsize)))"""
        exponent = -F(self.param.gamma) * (F(iteration) - F(self.param.stepsize))
        return self._scaled(F(1) / (F(1) + F(np.exp(np.float64(exponent)))))

    def _scaled(self, factor: np.float32) -> np.float32:
        return F(F(self.param.base_lr) * factor)

    def _decayed(self, drops: int) -> np.float32:
        return F(self.param.base_lr * np.power(self.param.gamma, float(drops)))


def _power(base: np.float32, exponent: float) -> np.float32:
    """base^exponent, rounded once to float32 (NumPy's float32 power is off by a bit at times)."""
    return F(np.power(np.float64(base), np.float64(exponent)))


Policy = Callable[[LearningRate, int], np.float32]

POLICIES: dict[str, Policy] = {
    "exp": LearningRate.exp,
    "fixed": LearningRate.fixed,
    "inv": LearningRate.inv,
    "multistep": LearningRate.multistep,
    "poly": LearningRate.poly,
    "sigmoid": LearningRate.sigmoid,
    "step": LearningRate.step,
}

NEEDED = {"step": ("stepsize",), "sigmoid": ("stepsize",), "poly": ("max_iter",)}
