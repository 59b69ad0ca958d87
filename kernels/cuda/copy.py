"""Copies: of whole arrays, and of a range of columns; a thread for each element."""

from ._array import DeviceArray
from ._compile.jit import kernel
from ._compile.words import F32, I32, grid


def copy(x: DeviceArray, y: DeviceArray) -> None:
    """Write x (float32 or int32) into y, which has as many elements."""
    _copy.over(y.size)(x.reshape(-1), y.reshape(-1))


def copy_columns(x: DeviceArray, x_start: int, y: DeviceArray, y_start: int, count: int) -> None:
    """Write columns x_start, ... of x (rows, any) into columns y_start, ... of y (rows, any)."""
    _copy_columns.over(y.shape[0] * count)(x, x_start, y, y_start, count)


@kernel
def _copy(x: F32 | I32, y: F32) -> None:
    i = grid()
    if i < y.size:
        y[i] = x[i]


@kernel
def _copy_columns(x: F32, x_start: int, y: F32, y_start: int, count: int) -> None:
    i = grid()
    row, column = i // count, i % count
    if row < y.shape[0]:
        y[row, y_start + column] = x[row, x_start + column]
