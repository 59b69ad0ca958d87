"""Root mean square normalisation of the rows of (rows, D): a warp a row.

Neighbouring threads read neighbouring numbers; their sums go from lane to lane.
"""

import math

from ._array import DeviceArray
from ._compile.jit import kernel
from ._compile.words import F32, WARP, grid, threadIdx
from ._reduce import warp_sum


def forward(x: DeviceArray, y: DeviceArray, root: DeviceArray, eps: float) -> None:
    """Write x, divided by its row's root, into y (y may be x).

    root (rows) takes sqrt(mean of x^2 over the row + eps), which backward needs.
    """
    _forward.over(root.size * WARP)(x, y, root, eps)


def backward(y: DeviceArray, dy: DeviceArray, root: DeviceArray, dx: DeviceArray) -> None:
    """Write the gradient into dx (dx may be dy); y and root are what forward gave."""
    _backward.over(root.size * WARP)(y, dy, root, dx)


@kernel
def _forward(x: F32, y: F32, root: F32, eps: float) -> None:
    row, lane = grid() // WARP, threadIdx.x % WARP
    rows, size = x.shape
    if row < rows:
        squares = 0.0
        for i in range(lane, size, WARP):
            squares += x[row, i] * x[row, i]
        length = math.sqrt(warp_sum(squares) / size + eps)
        for i in range(lane, size, WARP):
            y[row, i] = x[row, i] / length
        if lane == 0:
            root[row] = length


@kernel
def _backward(y: F32, dy: F32, root: F32, dx: F32) -> None:
    row, lane = grid() // WARP, threadIdx.x % WARP
    rows, size = y.shape
    if row < rows:
        product = 0.0
        for i in range(lane, size, WARP):
            product += dy[row, i] * y[row, i]
        along = warp_sum(product) / size
        for i in range(lane, size, WARP):
            dx[row, i] = (dy[row, i] - along * y[row, i]) / root[row]
