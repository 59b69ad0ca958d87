"""SigmoidCrossEntropyLoss: max(x, 0) - x t + log(1 + exp(-|x|)), which never overflows."""

import numpy as np
from numpy.typing import NDArray

F32 = NDArray[np.float32]


def forward(x: F32, target: F32, ignore: int | None) -> tuple[float, int]:
    """(Sum of the losses of the targets that count, how many count); flat arrays."""
    valid = _valid(target, ignore)
    losses = np.maximum(x, 0) - x * target + np.log1p(np.exp(-np.abs(x)))
    return float(losses[valid].sum(dtype=np.float64)), int(valid.sum())


def backward(x: F32, target: F32, dx: F32, scale: float, ignore: int | None) -> None:
    """Write scale (sigmoid(x) - target) into dx, 0 where the target is ignored."""
    sigmoid = 0.5 * np.tanh(0.5 * x) + 0.5
    dx[...] = np.where(_valid(target, ignore), np.float32(scale) * (sigmoid - target), 0)


def _valid(target: F32, ignore: int | None) -> NDArray[np.bool_]:
    return np.ones(target.shape, bool) if ignore is None else np.trunc(target) != ignore
