"""Mean-variance normalisation of the rows of (rows, D).

The rows are the channels of one image: means are the sums of `_sums.py`, the rest are formulas of
`_elements.py`. Both ways read one array three times or two twice, and write one: up to 20 bytes an
element.
"""

from typing import Any

import numpy as np

from . import memory
from ._array import DeviceArray
from ._compile.jit import inner, kernel
from ._compile.words import F32, grid
from ._elements import each
from ._sums import as_channels, channel_means, squared_distance, value, value_and_product


def forward(
    x: DeviceArray, y: DeviceArray, divisor: DeviceArray, eps: float, normalize_variance: bool
) -> None:
    """Write x minus its row's mean into y (y may be x), divided by its deviation + eps if asked.

    divisor (rows) takes deviation + eps, which backward needs.
    """
    rows, x, y = x.shape[0], as_channels(x), as_channels(y)
    mean = memory.scratch(x, rows)
    channel_means(value, (x,), mean)
    if normalize_variance:
        variance = memory.scratch(x, rows)
        channel_means(squared_distance, (x, mean), variance)
        _deviations.over(rows)(variance, float(eps), divisor)
        each(_normal, (mean, divisor), y, x)
    else:
        each(_centred, (mean,), y, x)


def backward(
    y: DeviceArray, dy: DeviceArray, divisor: DeviceArray, dx: DeviceArray, normalize_variance: bool
) -> None:
    """Write the gradient into dx (dx may be dy); y and divisor are what forward gave."""
    rows, y, dy, dx = y.shape[0], as_channels(y), as_channels(dy), as_channels(dx)
    means = memory.scratch(dx, 2 * rows).reshape(2, rows)
    if normalize_variance:
        channel_means(value_and_product, (dy, y), means, count=2)
        each(_gradient, (means, divisor), dx, dy, y)
    else:
        channel_means(value, (dy,), means[0])
        each(_centred, (means[0],), dx, dy)


@kernel
def _deviations(variance: F32, eps: float, divisor: F32) -> None:
    i = grid()
    if i < divisor.size:
        divisor[i] = np.sqrt(variance[i]) + eps


@inner
def _centred(x: float, none: float, row: int, args: Any) -> Any:
    return x - args[0][row]


@inner
def _normal(x: float, none: float, row: int, args: Any) -> Any:
    mean, divisor = args
    return (x - mean[row]) / divisor[row]


@inner
def _gradient(dy: float, y: float, row: int, args: Any) -> Any:
    """means (2, rows): of dy, and of dy y."""
    means, divisor = args
    return (dy - means[0, row] - y * means[1, row]) / divisor[row]
