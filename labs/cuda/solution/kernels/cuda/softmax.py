"""Softmax along the middle axis of (outer, classes, inner).

With inner = 1 (a classifier) a block takes a row: each of its threads goes through every THREADS-th
class, then the block finds the largest (`block_max` of _reduce.py, by shuffles) and later the sum
(`_total`, by halves in shared memory). Otherwise (a map of scores) a thread takes a position, since
neighbouring positions lie beside each other.
"""

import numpy as np

from ._array import DeviceArray
from ._compile.jit import inner, kernel
from ._compile.words import F32, WARP, blockIdx, grid, shared, syncthreads, threadIdx
from ._reduce import block_max, warp_sum
from ._scalar import exp

LOWEST = np.float32(-np.inf)
THREADS = 128  # of a block; a power of two


def forward(x: DeviceArray, y: DeviceArray) -> None:
    """Write exp(x - max x), divided by its sum over the classes, into y (y may be x)."""
    outer, classes, inner = x.shape
    if inner == 1:
        rows(x.reshape(outer, classes), y.reshape(outer, classes))
    else:
        _maps.over(outer * inner)(x, y)


def rows(x: DeviceArray, y: DeviceArray) -> None:
    """The same for rows, x and y (rows, classes): a block of THREADS threads for each row."""
    _rows[y.shape[0], THREADS](x, y)


def backward(y: DeviceArray, dy: DeviceArray, dx: DeviceArray) -> None:
    """Write y (dy - sum of dy y over the classes) into dx (dx may be dy)."""
    outer, classes, inner = y.shape
    if inner == 1:
        shape = (outer, classes)
        _rows_backward.over(outer * WARP)(y.reshape(shape), dy.reshape(shape), dx.reshape(shape))
    else:
        _maps_backward.over(outer * inner)(y, dy, dx)


@inner
def _total(value: float, shelf: F32) -> float:
    """The sum of `value` over all THREADS threads of the block, in each; shelf is shared (THREADS).

    All threads must be here.
    """
    me = threadIdx.x
    shelf[me] = value
    syncthreads()
    half = THREADS // 2
    while half > 0:
        if me < half:
            shelf[me] += shelf[me + half]
        syncthreads()
        half //= 2
    return shelf[0]


@kernel
def _rows(x: F32, y: F32) -> None:
    """x and y (rows, classes), y may be x; a block of THREADS threads for each row."""
    row, classes = blockIdx.x, y.shape[1]
    shelf = shared(THREADS)
    top = LOWEST
    for c in range(threadIdx.x, classes, THREADS):
        top = max(top, x[row, c])
    top = block_max(top)
    total = 0.0
    for c in range(threadIdx.x, classes, THREADS):
        y[row, c] = exp(x[row, c] - top)
        total += y[row, c]
    total = _total(total, shelf)
    for c in range(threadIdx.x, classes, THREADS):
        y[row, c] /= total


@kernel
def _rows_backward(y: F32, dy: F32, dx: F32) -> None:
    n, lane = grid() // WARP, threadIdx.x % WARP
    rows, classes = y.shape
    if n < rows:
        dot = 0.0
        for c in range(lane, classes, WARP):
            dot += dy[n, c] * y[n, c]
        dot = warp_sum(dot)
        for c in range(lane, classes, WARP):
            dx[n, c] = (dy[n, c] - dot) * y[n, c]


@kernel
def _maps(x: F32, y: F32) -> None:
    i = grid()
    outer, classes, inner = y.shape
    if i < outer * inner:
        n, p = i // inner, i % inner
        top = LOWEST
        for c in range(classes):
            top = max(top, x[n, c, p])
        total = 0.0
        for c in range(classes):
            y[n, c, p] = exp(x[n, c, p] - top)
            total += y[n, c, p]
        for c in range(classes):
            y[n, c, p] /= total


@kernel
def _maps_backward(y: F32, dy: F32, dx: F32) -> None:
    i = grid()
    outer, classes, inner = y.shape
    if i < outer * inner:
        n, p = i // inner, i % inner
        dot = 0.0
        for c in range(classes):
            dot += dy[n, c, p] * y[n, c, p]
        for c in range(classes):
            dx[n, c, p] = (dy[n, c, p] - dot) * y[n, c, p]
