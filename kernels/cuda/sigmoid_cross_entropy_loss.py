"""SigmoidCrossEntropyLoss: max(x, 0) - x t + log(1 + exp(-|x|)), which never overflows.

A thread for each element, forward (which adds up the losses in the same pass) and backward.
"""

from typing import Any

import numpy as np

from ._array import DeviceArray
from ._compile.jit import inner, kernel
from ._compile.words import F32, I32, grid
from ._labels import truncated
from ._means import NONE, write_mean
from ._scalar import exp_or_zero, log, sigmoid


def forward(
    x: DeviceArray,
    target: DeviceArray,
    loss: DeviceArray,
    found: DeviceArray,
    divisor: int,
    ignore: int | None,
) -> None:
    """Write into loss (1) the sum of the losses of the targets that count, divided by `divisor` or,
    if that is 0, by how many count (at least 1); into found (2) -1 (every target will do), and what
    the sum was divided by. Flat arrays.
    """
    write_mean(_loss, x.size, (x, target, _ignored_value(ignore)), divisor, loss, found)


def backward(
    x: DeviceArray,
    target: DeviceArray,
    dx: DeviceArray,
    scale: float,
    found: DeviceArray,
    ignore: int | None,
) -> None:
    """Write scale / found[1] (sigmoid(x) - target) into dx, 0 where the target is ignored."""
    _backward.over(dx.size)(x, target, dx, float(scale), found, _ignored_value(ignore))


def _ignored_value(ignore: int | None) -> float:
    return float("nan") if ignore is None else float(ignore)  # nothing equals NaN


@inner
def _loss(i: int, args: Any) -> Any:
    x, target, ignore = args
    if truncated(target[i]) == ignore:
        return 0.0, 0, NONE
    soft = log(1.0 + exp_or_zero(-abs(x[i])))
    return max(x[i], 0.0) - x[i] * target[i] + soft, 1, NONE


@kernel
def _backward(x: F32, target: F32, dx: F32, scale: float, found: I32, ignore: float) -> None:
    i = grid()
    if i < dx.size:
        slope = scale / np.float32(found[1]) * (sigmoid(x[i]) - target[i])
        dx[i] = 0.0 if truncated(target[i]) == ignore else slope
