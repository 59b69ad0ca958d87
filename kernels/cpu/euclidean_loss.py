"""EuclideanLoss: differences and the sum of their squares, in one pass of 12 bytes an element.

Squares are summed in float32 within a block, in float64 over the blocks.
"""

import numpy as np
from numba import prange
from numpy.typing import NDArray

from ._compile.jit import inner, kernel

F32 = NDArray[np.float32]
F64 = NDArray[np.float64]

BLOCK = 1024  # a partial sum for each: the total does not depend on the number of threads


def forward(a: F32, b: F32, difference: F32, loss: F32, divisor: int) -> None:
    """Write a - b into difference (flat), and the sum of its squares / divisor into loss (1)."""
    partial = np.empty((a.size + BLOCK - 1) // BLOCK)
    _forward(a, b, difference, partial)
    loss[0] = partial.sum() / divisor


def backward(difference: F32, dx: F32, scale: float) -> None:
    """Write scale * difference into dx (flat)."""
    _backward(difference, dx, np.float32(scale))


@kernel
def _forward(a: F32, b: F32, difference: F32, partial: F64) -> None:
    for block in prange(partial.size):
        mine = slice(block * BLOCK, min(a.size, (block + 1) * BLOCK))
        partial[block] = _differences(a[mine], b[mine], difference[mine])


@inner
def _differences(a: F32, b: F32, difference: F32) -> np.float32:
    total = np.float32(0)
    for i in range(difference.size):
        value = a[i] - b[i]
        difference[i] = value
        total += value * value
    return total


@kernel
def _backward(difference: F32, dx: F32, scale: np.float32) -> None:
    for i in prange(difference.size):
        dx[i] = scale * difference[i]
