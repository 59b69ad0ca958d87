"""Reductions of the rows of x (rows, D) to y (rows): "SUM", "MEAN", "ASUM", "SUMSQ".

MEAN is SUM; the caller has divided the factor. The rows are the channels of one image: forward sums
them as `_sums.py` does, back is a formula of `_elements.py`.
"""

from typing import Any

from ._array import DeviceArray
from ._compile.jit import inner
from ._compile.words import F32
from ._elements import each
from ._sums import as_channels, channel_sums, value


def forward(operation: str, x: DeviceArray, y: DeviceArray, factor: float) -> None:
    """Write the reduced rows, times factor, into y."""
    channel_sums(TERMS.get(operation, value), (as_channels(x),), y, factor)


def backward(
    operation: str, x: DeviceArray, dy: DeviceArray, dx: DeviceArray, factor: float
) -> None:
    """Write the gradient of each row's elements into dx."""
    slope = SLOPES.get(operation, _evenly)
    each(slope, (dy, float(factor)), as_channels(dx), as_channels(x))


@inner
def _magnitude(total: F32, args: Any, n: int, row: int, i: int) -> None:
    total[0] += abs(args[0][n, row, i])


@inner
def _square(total: F32, args: Any, n: int, row: int, i: int) -> None:
    x = args[0][n, row, i]
    total[0] += x * x


@inner
def _evenly(x: float, none: float, row: int, args: Any) -> Any:
    dy, factor = args
    return dy[row] * factor


@inner
def _by_sign(x: float, none: float, row: int, args: Any) -> Any:
    dy, factor = args
    sign = 1.0 if x > 0 else (-1.0 if x < 0 else x)  # NaN stays NaN
    return dy[row] * factor * sign


@inner
def _by_value(x: float, none: float, row: int, args: Any) -> Any:
    dy, factor = args
    return dy[row] * factor * 2.0 * x


TERMS = {"ASUM": _magnitude, "SUMSQ": _square}
SLOPES = {"ASUM": _by_sign, "SUMSQ": _by_value}
