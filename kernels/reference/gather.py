"""Rows picked by index, and rows added up by index. Indices (M) are float32, cut to integers."""

import numpy as np
from numpy.typing import NDArray

F32 = NDArray[np.float32]


def gather(x: F32, indices: F32, y: F32) -> None:
    """Write row indices[i] of x (N, D) into row i of y (M, D)."""
    y[...] = x[indices.astype(np.int64)]


def scatter_add(dy: F32, indices: F32, dx: F32) -> None:
    """Write into row n of dx (N, D) the sum of the rows i of dy (M, D) with indices[i] = n."""
    dx[...] = 0
    np.add.at(dx, indices.astype(np.int64), dy)
