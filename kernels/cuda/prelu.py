"""PReLU: y = x where x > 0, slope * x elsewhere; arrays (N, C, inner), slopes (C).

Both ways are a formula of `_elements.py`; the slopes' gradients are the sums of `_sums.py`.
"""

from typing import Any

from ._array import DeviceArray
from ._compile.jit import inner
from ._compile.words import F32
from ._elements import each
from ._sums import channel_sums


def forward(x: DeviceArray, slope: DeviceArray, y: DeviceArray) -> None:
    """Write the rectified x into y (y may be x)."""
    each(_rectified, (slope,), y, x)


def backward_slope(x: DeviceArray, dy: DeviceArray, dslope: DeviceArray) -> None:
    """Add dy x, summed where x <= 0, to dslope."""
    channel_sums(_below_zero, (x, dy), dslope, accumulate=True)


def backward_data(x: DeviceArray, slope: DeviceArray, dy: DeviceArray, dx: DeviceArray) -> None:
    """Write dy, times the slope where x <= 0, into dx (dx may be dy)."""
    each(_gradient, (slope,), dx, x, dy)


@inner
def _rectified(x: float, none: float, c: int, args: Any) -> Any:
    return x if x > 0 else args[0][c] * x


@inner
def _gradient(x: float, dy: float, c: int, args: Any) -> Any:
    return dy if x > 0 else args[0][c] * dy


@inner
def _below_zero(total: F32, args: Any, n: int, c: int, i: int) -> None:
    x = args[0][n, c, i]
    total[0] += args[1][n, c, i] * (0.0 if x > 0 else x)
