"""Reductions of the rows of x (rows, D) to y (rows): "SUM", "MEAN", "ASUM", "SUMSQ".

MEAN is SUM; the caller has divided the factor. Parts of a row are summed in float32 and their sums
added in float64, in the same order on any number of threads.
"""

import numpy as np
from numba import prange
from numpy.typing import NDArray

from ._compile.jit import kernel

F32 = NDArray[np.float32]

SUM, ASUM, SUMSQ = 0, 1, 2
CODES = {"SUM": SUM, "MEAN": SUM, "ASUM": ASUM, "SUMSQ": SUMSQ}
PART = 4096  # elements
ZERO, ONE, TWO = np.float32(0), np.float32(1), np.float32(2)


def forward(operation: str, x: F32, y: F32, factor: float) -> None:
    """Write the reduced rows, times factor, into y."""
    rows, size = x.shape
    sums = np.empty((rows, -(-size // PART)), np.float32)
    _add_parts(CODES[operation], x, sums)
    _add_sums(sums, y, np.float32(factor))


def backward(operation: str, x: F32, dy: F32, dx: F32, factor: float) -> None:
    """Write the gradient of each row's elements into dx."""
    _backward(CODES[operation], x, dy, dx, np.float32(factor))


@kernel
def _add_parts(operation: int, x: F32, sums: F32) -> None:
    size = x.shape[1]
    rows, parts = sums.shape
    for task in prange(rows * parts):
        row = task // parts
        first = task % parts * PART
        last = min(first + PART, size)
        total = ZERO
        if operation == SUM:
            for i in range(first, last):
                total += x[row, i]
        elif operation == ASUM:
            for i in range(first, last):
                total += abs(x[row, i])
        else:
            for i in range(first, last):
                total += x[row, i] * x[row, i]
        sums[row, task % parts] = total


@kernel
def _add_sums(sums: F32, y: F32, factor: np.float32) -> None:
    for row in prange(y.size):
        whole = np.float64(0)
        for part in range(sums.shape[1]):
            whole += sums[row, part]
        y[row] = np.float32(whole) * factor


@kernel
def _backward(operation: int, x: F32, dy: F32, dx: F32, factor: np.float32) -> None:
    rows, size = x.shape
    parts = (size + PART - 1) // PART
    for task in prange(rows * parts):
        row = task // parts
        first = task % parts * PART
        last = min(first + PART, size)
        scaled = dy[row] * factor
        if operation == SUM:
            for i in range(first, last):
                dx[row, i] = scaled
        elif operation == ASUM:
            for i in range(first, last):
                sign = ONE if x[row, i] > ZERO else (-ONE if x[row, i] < ZERO else ZERO)
                dx[row, i] = scaled * sign
        else:
            for i in range(first, last):
                dx[row, i] = TWO * scaled * x[row, i]
