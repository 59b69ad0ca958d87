"""Reductions of the rows of x (rows, D) to y (rows): "SUM", "MEAN", "ASUM", "SUMSQ".

MEAN is SUM; the caller has divided the factor. Forward a row is summed as `_sums.py` tells; back a
thread writes an element.
"""

from functools import cache
from typing import Any

from ._array import DeviceArray
from ._compile.jit import Kernel, inner, kernel
from ._compile.words import F32, grid
from ._sums import as_channels, channel_sums, value


def forward(operation: str, x: DeviceArray, y: DeviceArray, factor: float) -> None:
    """Write the reduced rows, times factor, into y."""
    channel_sums(TERMS.get(operation, value), (as_channels(x),), y, factor)


def backward(
    operation: str, x: DeviceArray, dy: DeviceArray, dx: DeviceArray, factor: float
) -> None:
    """Write the gradient of each row's elements into dx."""
    _backward(SLOPES.get(operation, _one)).over(dx.size)(x, dy, dx, float(factor))


@inner
def _magnitude(total: F32, args: Any, n: int, row: int, i: int) -> None:
    total[0] += abs(args[0][n, row, i])


@inner
def _square(total: F32, args: Any, n: int, row: int, i: int) -> None:
    x = args[0][n, row, i]
    total[0] += x * x


@inner
def _one(x: float) -> Any:
    return 1.0


@inner
def _sign(x: float) -> Any:
    # NaN has no sign: it stays one
    return 1.0 if x > 0 else (-1.0 if x < 0 else x)


@inner
def _twice(x: float) -> Any:
    return x + x


TERMS = {"ASUM": _magnitude, "SUMSQ": _square}
SLOPES = {"ASUM": _sign, "SUMSQ": _twice}


@cache
def _backward(slope: Any) -> Kernel:
    @kernel
    def reduction_backward(x: F32, dy: F32, dx: F32, factor: float) -> None:
        i = grid()
        row, column = i // dx.shape[1], i % dx.shape[1]
        if row < dx.shape[0]:
            dx[row, column] = dy[row] * factor * slope(x[row, column])

    return reduction_backward
