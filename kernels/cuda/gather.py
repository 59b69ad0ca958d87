"""Rows picked by index, and rows added up by index. Indices (M) are float32, cut to integers."""

import numpy as np

from . import memory
from ._array import DeviceArray
from ._compile.jit import kernel
from ._compile.words import F32, grid
from ._rows import add_rows


def gather(x: DeviceArray, indices: DeviceArray, y: DeviceArray) -> None:
    """Write row indices[i] of x (N, D) into row i of y (M, D)."""
    _gather.over(y.size)(x, indices, y)


def scatter_add(dy: DeviceArray, indices: DeviceArray, dx: DeviceArray) -> None:
    """Write into row n of dx (N, D) the sum of the rows i of dy (M, D) with indices[i] = n."""
    memory.fill(dx, 0)
    add_rows(indices, dy, dx)


@kernel
def _gather(x: F32, indices: F32, y: F32) -> None:
    i = grid()
    if i < y.size:
        row, column = i // y.shape[1], i % y.shape[1]
        y[row, column] = x[np.int32(indices[row]), column]
