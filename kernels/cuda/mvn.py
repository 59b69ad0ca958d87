"""Mean-variance normalisation of the rows of (rows, D).

Means are the sums of `_sums.py`, of one image whose channels are the rows; the rest is a thread an
element. Both ways read one array three times or two twice, and write one: up to 20 bytes each.
"""

from functools import cache

import numpy as np

from . import memory
from ._array import DeviceArray
from ._compile.jit import Kernel, kernel
from ._compile.words import F32, grid
from ._sums import as_channels, channel_means, squared_distance, value, value_and_product


def forward(
    x: DeviceArray, y: DeviceArray, divisor: DeviceArray, eps: float, normalize_variance: bool
) -> None:
    """Write x minus its row's mean into y (y may be x), divided by its deviation + eps if asked.

    divisor (rows) takes deviation + eps, which backward needs.
    """
    rows, channels = x.shape[0], as_channels(x)
    mean = memory.scratch(x, rows)
    channel_means(value, (channels,), mean)
    if normalize_variance:
        variance = memory.scratch(x, rows)
        channel_means(squared_distance, (channels, mean), variance)
        _deviations.over(rows)(variance, float(eps), divisor)
    _normalise(bool(normalize_variance)).over(y.size)(x, mean, divisor, y)


def backward(
    y: DeviceArray, dy: DeviceArray, divisor: DeviceArray, dx: DeviceArray, normalize_variance: bool
) -> None:
    """Write the gradient into dx (dx may be dy); y and divisor are what forward gave."""
    rows = y.shape[0]
    means = memory.scratch(dx, 2 * rows).reshape(2, rows)
    if normalize_variance:
        channel_means(value_and_product, (as_channels(dy), as_channels(y)), means, count=2)
        _backward.over(dx.size)(y, dy, means, divisor, dx)
    else:
        channel_means(value, (as_channels(dy),), means[0])
        _normalise(False).over(dx.size)(dy, means[0], divisor, dx)


@kernel
def _deviations(variance: F32, eps: float, divisor: F32) -> None:
    i = grid()
    if i < divisor.size:
        divisor[i] = np.sqrt(variance[i]) + eps


@cache
def _normalise(divides: bool) -> Kernel:
    @kernel
    def normalise(x: F32, mean: F32, divisor: F32, y: F32) -> None:
        i = grid()
        if i < y.size:
            row, column = i // y.shape[1], i % y.shape[1]
            centred = x[row, column] - mean[row]
            y[row, column] = centred / divisor[row] if divides else centred

    return normalise


@kernel
def _backward(y: F32, dy: F32, means: F32, divisor: F32, dx: F32) -> None:
    """means (2, rows): of dy, and of dy y."""
    i = grid()
    if i < dx.size:
        row, column = i // dx.shape[1], i % dx.shape[1]
        centred = dy[row, column] - means[0, row] - y[row, column] * means[1, row]
        dx[row, column] = centred / divisor[row]
