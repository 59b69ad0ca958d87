"""EuclideanLoss: differences and the sum of their squares, in one pass."""

import numpy as np
from numba import prange
from numpy.typing import NDArray

from ._jit import kernel

F32 = NDArray[np.float32]
F64 = NDArray[np.float64]

BLOCK = 4096  # a partial sum for each: the total does not depend on the number of threads


def forward(a: F32, b: F32, difference: F32) -> float:
    """Write a - b into difference (flat) and return the sum of its squares."""
    partial = np.empty((a.size + BLOCK - 1) // BLOCK)
    _forward(a, b, difference, partial)
    return float(partial.sum())


def backward(difference: F32, dx: F32, scale: float) -> None:
    """Write scale * difference into dx (flat)."""
    _backward(difference, dx, np.float32(scale))


@kernel
def _forward(a: F32, b: F32, difference: F32, partial: F64) -> None:
    for block in prange(partial.size):
        total = 0.0
        for i in range(block * BLOCK, min(a.size, (block + 1) * BLOCK)):
            difference[i] = a[i] - b[i]
            total += np.float64(difference[i]) * np.float64(difference[i])
        partial[block] = total


@kernel
def _backward(difference: F32, dx: F32, scale: np.float32) -> None:
    for i in prange(difference.size):
        dx[i] = scale * difference[i]
