"""EuclideanLoss: differences and the sum of their squares, in one pass of 12 bytes an element."""

from typing import Any

import numpy as np

from ._array import DeviceArray
from ._compile.jit import inner, kernel
from ._compile.words import F32, grid
from ._means import NONE, write_mean


def forward(
    a: DeviceArray, b: DeviceArray, difference: DeviceArray, loss: DeviceArray, divisor: int
) -> None:
    """Write a - b into difference (flat), and the sum of its squares / divisor into loss (1)."""
    write_mean(_square, a.size, (a, b, difference), divisor, loss, None)


def backward(difference: DeviceArray, dx: DeviceArray, scale: float) -> None:
    """Write scale * difference into dx (flat)."""
    _backward.over(dx.size)(difference, dx, float(scale))


@inner
def _square(i: int, args: Any) -> Any:
    a, b, difference = args
    value = a[i] - b[i]
    difference[i] = value
    return np.float64(value) * np.float64(value), 1, NONE


@kernel
def _backward(difference: F32, dx: F32, scale: float) -> None:
    i = grid()
    if i < dx.size:
        dx[i] = scale * difference[i]
