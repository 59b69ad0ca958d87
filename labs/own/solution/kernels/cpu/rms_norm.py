"""Root mean square normalisation of the rows of (rows, D): a row a task, two passes over it."""

import math

import numpy as np
from numba import prange
from numpy.typing import NDArray

from ._compile.jit import kernel

F32 = NDArray[np.float32]

ZERO, ONE = np.float32(0), np.float32(1)


def forward(x: F32, y: F32, root: F32, eps: float) -> None:
    """Write x, divided by its row's root, into y (y may be x).

    root (rows) takes sqrt(mean of x^2 over the row + eps), which backward needs.
    """
    _forward(x, y, root, np.float32(eps))


def backward(y: F32, dy: F32, root: F32, dx: F32) -> None:
    """Write the gradient into dx (dx may be dy); y and root are what forward gave."""
    _backward(y, dy, root, dx)


@kernel
def _forward(x: F32, y: F32, root: F32, eps: np.float32) -> None:
    size = np.float32(x.shape[1])
    for row in prange(x.shape[0]):
        squares = ZERO
        for i in range(x.shape[1]):
            squares += x[row, i] * x[row, i]
        root[row] = math.sqrt(squares / size + eps)
        factor = ONE / root[row]
        for i in range(x.shape[1]):
            y[row, i] = x[row, i] * factor


@kernel
def _backward(y: F32, dy: F32, root: F32, dx: F32) -> None:
    size = np.float32(y.shape[1])
    for row in prange(y.shape[0]):
        product = ZERO
        for i in range(y.shape[1]):
            product += dy[row, i] * y[row, i]
        along = product / size
        factor = ONE / root[row]
        for i in range(y.shape[1]):
            dx[row, i] = (dy[row, i] - along * y[row, i]) * factor
