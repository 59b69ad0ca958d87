"""SigmoidCrossEntropyLoss: max(x, 0) - x t + log(1 + exp(-|x|)), which never overflows."""

import numpy as np
from numpy.typing import NDArray

from .._means import write_mean

F32 = NDArray[np.float32]
I32 = NDArray[np.int32]


@np.errstate(all="ignore")
def forward(x: F32, target: F32, loss: F32, found: I32, divisor: int, ignore: int | None) -> None:
    """Write into loss (1) the sum of the losses of the targets that count, divided by `divisor` or,
    if that is 0, by how many count (at least 1); into found (2) -1 (every target will do), and what
    the sum was divided by. Flat arrays.
    """
    valid = _valid(target, ignore)
    losses = np.maximum(x, 0) - x * target + np.log1p(np.exp(-np.abs(x)))
    total = float(losses[valid].sum(dtype=np.float64))
    write_mean(total, int(valid.sum()), -1, divisor, loss, found)


@np.errstate(all="ignore")
def backward(x: F32, target: F32, dx: F32, scale: float, found: I32, ignore: int | None) -> None:
    """Write scale / found[1] (sigmoid(x) - target) into dx, 0 where the target is ignored."""
    sigmoid = 0.5 * np.tanh(0.5 * x) + 0.5
    dx[...] = np.where(
        _valid(target, ignore), np.float32(scale / found.item(1)) * (sigmoid - target), 0
    )


def _valid(target: F32, ignore: int | None) -> NDArray[np.bool_]:
    return np.ones(target.shape, bool) if ignore is None else np.trunc(target) != ignore
