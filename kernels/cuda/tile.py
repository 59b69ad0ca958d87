"""Tile: rows (rows, D) repeated into (rows, tiles, D).

A thread for each element that is written. Backward, where D is small and tiles are many, a warp
takes an element, so that its lanes share out the tiles.
"""

from ._array import DeviceArray
from ._compile.jit import kernel
from ._compile.words import F32, WARP, grid, threadIdx
from ._reduce import warp_sum

FEW = 8  # elements of a row


def forward(x: DeviceArray, y: DeviceArray) -> None:
    """Write x into each tile of y."""
    _forward.over(y.size)(x.reshape(-1), y.reshape(-1), *y.shape[1:])


def backward(dy: DeviceArray, dx: DeviceArray) -> None:
    """Write the sum of dy's tiles into dx."""
    if dy.shape[2] < FEW and dy.shape[1] >= WARP:
        _backward_few.over(dx.size * WARP)(dy, dx)
    else:
        _backward.over(dx.size)(dy, dx)


@kernel
def _forward(x: F32, y: F32, tiles: int, size: int) -> None:
    i = grid()
    if i < y.size:
        y[i] = x[i // size // tiles * size + i % size]


@kernel
def _backward(dy: F32, dx: F32) -> None:
    i = grid()
    if i < dx.size:
        _, tiles, size = dy.shape
        row, j = i // size, i % size
        total = 0.0
        for tile in range(tiles):
            total += dy[row, tile, j]
        dx[row, j] = total


@kernel
def _backward_few(dy: F32, dx: F32) -> None:
    i, lane = grid() // WARP, threadIdx.x % WARP
    if i < dx.size:
        _, tiles, size = dy.shape
        row, j = i // size, i % size
        total = 0.0
        for tile in range(lane, tiles, WARP):
            total += dy[row, tile, j]
        total = warp_sum(total)
        if lane == 0:
            dx[row, j] = total
