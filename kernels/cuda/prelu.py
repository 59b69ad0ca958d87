"""PReLU: y = x where x > 0, slope * x elsewhere; arrays (N, C, inner), slopes (C).

A thread writes an element; the slopes' gradients are the sums of `_sums.py`.
"""

from typing import Any

from ._array import DeviceArray
from ._compile.jit import inner, kernel
from ._compile.words import F32, grid
from ._sums import channel_sums


def forward(x: DeviceArray, slope: DeviceArray, y: DeviceArray) -> None:
    """Write the rectified x into y (y may be x)."""
    flat = x.reshape(-1)
    _rectify.over(y.size)(flat, slope, flat, y.reshape(-1), y.shape[2])


def backward_slope(x: DeviceArray, dy: DeviceArray, dslope: DeviceArray) -> None:
    """Add dy x, summed where x <= 0, to dslope."""
    channel_sums(_below_zero, (x, dy), dslope, accumulate=True)


def backward_data(x: DeviceArray, slope: DeviceArray, dy: DeviceArray, dx: DeviceArray) -> None:
    """Write dy, times the slope where x <= 0, into dx (dx may be dy)."""
    _rectify.over(dx.size)(x.reshape(-1), slope, dy.reshape(-1), dx.reshape(-1), dx.shape[2])


@kernel
def _rectify(x: F32, slope: F32, values: F32, y: F32, pixels: int) -> None:
    """y: the values where x > 0, slope times them elsewhere."""
    i = grid()
    if i < y.size:
        y[i] = values[i] if x[i] > 0 else slope[i // pixels % slope.size] * values[i]


@inner
def _below_zero(total: F32, args: Any, n: int, c: int, i: int) -> None:
    x = args[0][n, c, i]
    total[0] += args[1][n, c, i] * (0.0 if x > 0 else x)
