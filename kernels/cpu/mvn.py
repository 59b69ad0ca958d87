"""Mean-variance normalisation of the rows of (rows, D): a row a task, two passes over it."""

import math

import numpy as np
from numba import prange
from numpy.typing import NDArray

from ._compile.jit import kernel

F32 = NDArray[np.float32]

ZERO, ONE = np.float32(0), np.float32(1)


def forward(x: F32, y: F32, divisor: F32, eps: float, normalize_variance: bool) -> None:
    """Write x minus its row's mean into y (y may be x), divided by its deviation + eps if asked.

    divisor (rows) takes deviation + eps, which backward needs.
    """
    _forward(x, y, divisor, np.float32(eps), normalize_variance)


def backward(y: F32, dy: F32, divisor: F32, dx: F32, normalize_variance: bool) -> None:
    """Write the gradient into dx (dx may be dy); y and divisor are what forward gave."""
    _backward(y, dy, divisor, dx, normalize_variance)


@kernel
def _forward(x: F32, y: F32, divisor: F32, eps: np.float32, normalize_variance: bool) -> None:
    size = np.float32(x.shape[1])
    for row in prange(x.shape[0]):
        total = ZERO
        for i in range(x.shape[1]):
            total += x[row, i]
        mean = total / size
        squares = ZERO
        for i in range(x.shape[1]):
            centred = x[row, i] - mean
            squares += centred * centred
            y[row, i] = centred
        if normalize_variance:
            divisor[row] = np.float32(math.sqrt(squares / size)) + eps
            factor = ONE / divisor[row]
            for i in range(x.shape[1]):
                y[row, i] *= factor


@kernel
def _backward(y: F32, dy: F32, divisor: F32, dx: F32, normalize_variance: bool) -> None:
    size = np.float32(y.shape[1])
    for row in prange(y.shape[0]):
        total = ZERO
        product = ZERO
        for i in range(y.shape[1]):
            total += dy[row, i]
            product += dy[row, i] * y[row, i]
        mean = total / size
        along = product / size if normalize_variance else ZERO
        factor = ONE / divisor[row] if normalize_variance else ONE
        for i in range(y.shape[1]):
            dx[row, i] = (dy[row, i] - mean - along * y[row, i]) * factor
