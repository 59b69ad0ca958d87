"""Tile: rows (rows, D) repeated into (rows, tiles, D); a row a task."""

import numpy as np
from numba import prange
from numpy.typing import NDArray

from ._compile.jit import kernel

F32 = NDArray[np.float32]


def forward(x: F32, y: F32) -> None:
    """Write x into each tile of y."""
    _forward(x, y)


def backward(dy: F32, dx: F32) -> None:
    """Write the sum of dy's tiles into dx."""
    _backward(dy, dx)


@kernel
def _forward(x: F32, y: F32) -> None:
    for row in prange(y.shape[0]):
        for tile in range(y.shape[1]):
            for i in range(y.shape[2]):
                y[row, tile, i] = x[row, i]


@kernel
def _backward(dy: F32, dx: F32) -> None:
    for row in prange(dy.shape[0]):
        for i in range(dy.shape[2]):
            dx[row, i] = dy[row, 0, i]
        for tile in range(1, dy.shape[1]):
            for i in range(dy.shape[2]):
                dx[row, i] += dy[row, tile, i]
