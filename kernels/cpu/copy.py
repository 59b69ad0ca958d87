"""Copies: 8 bytes an element."""

import numpy as np
from numba import prange
from numpy.typing import NDArray

from ._compile.jit import kernel

F32 = NDArray[np.float32]
I32 = NDArray[np.int32]

PART = 16384  # elements a task copies at most


def copy(x: F32 | I32, y: F32) -> None:
    """Write x (float32 or int32) into y, which has as many elements."""
    copy_columns(x.reshape(1, -1), 0, y.reshape(1, -1), 0, x.size)


def copy_columns(x: F32 | I32, x_start: int, y: F32, y_start: int, count: int) -> None:
    """Write columns x_start, ... of x (rows, any) into columns y_start, ... of y (rows, any)."""
    _copy_columns(x, x_start, y, y_start, count)


@kernel
def _copy_columns(x: F32 | I32, x_start: int, y: F32, y_start: int, count: int) -> None:
    parts = (count + PART - 1) // PART
    for task in prange(x.shape[0] * parts):
        row = task // parts
        first = task % parts * PART
        last = min(first + PART, count)
        source = x[row, x_start + first : x_start + last]
        target = y[row, y_start + first : y_start + last]
        for i in range(target.size):
            target[i] = source[i]
