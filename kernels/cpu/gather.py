"""Rows picked by index, and rows added up by index. Indices (M) are float32, cut to integers.

A task adds up the rows of one target, so that no two write to the same one: N M comparisons.
"""

import numpy as np
from numba import prange
from numpy.typing import NDArray

from ._compile.jit import kernel

F32 = NDArray[np.float32]


def gather(x: F32, indices: F32, y: F32) -> None:
    """Write row indices[i] of x (N, D) into row i of y (M, D)."""
    _gather(x, indices, y)


def scatter_add(dy: F32, indices: F32, dx: F32) -> None:
    """Write into row n of dx (N, D) the sum of the rows i of dy (M, D) with indices[i] = n."""
    _scatter_add(dy, indices, dx)


@kernel
def _gather(x: F32, indices: F32, y: F32) -> None:
    for i in prange(y.shape[0]):
        source = int(indices[i])
        for j in range(y.shape[1]):
            y[i, j] = x[source, j]


@kernel
def _scatter_add(dy: F32, indices: F32, dx: F32) -> None:
    for n in prange(dx.shape[0]):
        for j in range(dx.shape[1]):
            dx[n, j] = np.float32(0)
        for i in range(dy.shape[0]):
            if int(indices[i]) == n:
                for j in range(dx.shape[1]):
                    dx[n, j] += dy[i, j]
