"""SigmoidCrossEntropyLoss: max(x, 0) - x t + log(1 + exp(-|x|)), which never overflows.

Forward the losses are added up in the pass that computes them. Backward is a formula of
`_elements.py`.
"""

from typing import Any

import numpy as np

from ._array import DeviceArray
from ._compile.jit import inner
from ._elements import each
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
    args = (float(scale), found, _ignored_value(ignore))
    each(_slope, args, dx.reshape(1, 1, -1), x, target)


def _ignored_value(ignore: int | None) -> float:
    return float("nan") if ignore is None else float(ignore)  # nothing equals NaN


@inner
def _loss(i: int, args: Any) -> Any:
    x, target, ignore = args
    if truncated(target[i]) == ignore:
        return 0.0, 0, NONE
    soft = log(1.0 + exp_or_zero(-abs(x[i])))
    return max(x[i], 0.0) - x[i] * target[i] + soft, 1, NONE


@inner
def _slope(x: float, target: float, c: int, args: Any) -> Any:
    scale, found, ignore = args
    if truncated(target) == ignore:
        return 0.0
    return scale / np.float32(found[1]) * (sigmoid(x) - target)
