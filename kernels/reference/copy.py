"""Copies: of whole arrays, and of a range of columns."""

import numpy as np
from numpy.typing import NDArray

F32 = NDArray[np.float32]
I32 = NDArray[np.int32]


def copy(x: F32 | I32, y: F32) -> None:
    """Write x (float32 or int32) into y, which has as many elements."""
    y[...] = x.reshape(y.shape)


def copy_columns(x: F32, x_start: int, y: F32, y_start: int, count: int) -> None:
    """Write columns x_start, ... of x (rows, any) into columns y_start, ... of y (rows, any)."""
    y[:, y_start : y_start + count] = x[:, x_start : x_start + count]
