"""Crop: the part of an array that begins at `offsets`, one an axis; copied row by row."""

import numpy as np
from numba import prange
from numpy.typing import NDArray

from ._compile.jit import inner, kernel

F32 = NDArray[np.float32]
I64 = NDArray[np.int64]


def forward(x: F32, y: F32, offsets: tuple[int, ...]) -> None:
    """Write the part of x that has the shape of y into y."""
    if y.size:
        rows = y.reshape(-1, y.shape[-1])
        _forward(x.reshape(-1), rows, np.array(x.shape), np.array(y.shape), np.array(offsets))


def backward(dy: F32, dx: F32, offsets: tuple[int, ...]) -> None:
    """Write dy into the part of dx where it came from; the rest of dx stays."""
    if dy.size:
        rows = dy.reshape(-1, dy.shape[-1])
        _backward(rows, dx.reshape(-1), np.array(dx.shape), np.array(dy.shape), np.array(offsets))


@inner
def _start(row: int, whole: I64, part: I64, offsets: I64) -> int:
    """Where in the flat whole a row (along the last axis) of the part begins."""
    last = whole.size - 1
    start = offsets[last]
    stride = whole[last]
    for axis in range(last - 1, -1, -1):
        start += (row % part[axis] + offsets[axis]) * stride
        row //= part[axis]
        stride *= whole[axis]
    return int(start)


@kernel
def _forward(x: F32, rows: F32, whole: I64, part: I64, offsets: I64) -> None:
    for row in prange(rows.shape[0]):
        start = _start(row, whole, part, offsets)
        for i in range(rows.shape[1]):
            rows[row, i] = x[start + i]


@kernel
def _backward(rows: F32, dx: F32, whole: I64, part: I64, offsets: I64) -> None:
    for row in prange(rows.shape[0]):
        start = _start(row, whole, part, offsets)
        for i in range(rows.shape[1]):
            dx[start + i] = rows[row, i]
