"""Softmax along the middle axis of (outer, classes, inner).

With inner = 1 (a classifier) a warp takes a row: neighbouring threads read neighbouring classes,
and the maximum and the sum go from lane to lane by shuffles. Otherwise (a map
of scores) a thread takes a position, since neighbouring positions lie beside each other.
"""

import numpy as np

from ._array import DeviceArray
from ._compile.jit import kernel
from ._compile.words import F32, WARP, grid, threadIdx
from ._reduce import warp_max, warp_sum
from ._scalar import exp

LOWEST = np.float32(-np.inf)


def forward(x: DeviceArray, y: DeviceArray) -> None:
    """Write exp(x - max x), divided by its sum over the classes, into y (y may be x)."""
    outer, classes, inner = x.shape
    if inner == 1:
        rows = (outer, classes)
        _rows.over(outer * WARP)(x.reshape(rows), y.reshape(rows))
    else:
        _maps.over(outer * inner)(x, y)


def backward(y: DeviceArray, dy: DeviceArray, dx: DeviceArray) -> None:
    """Write y (dy - sum of dy y over the classes) into dx (dx may be dy)."""
    outer, classes, inner = y.shape
    if inner == 1:
        rows = (outer, classes)
        _rows_backward.over(outer * WARP)(y.reshape(rows), dy.reshape(rows), dx.reshape(rows))
    else:
        _maps_backward.over(outer * inner)(y, dy, dx)


@kernel
def _rows(x: F32, y: F32) -> None:
    n, lane = grid() // WARP, threadIdx.x % WARP
    rows, classes = y.shape
    if n < rows:
        top = LOWEST
        for c in range(lane, classes, WARP):
            top = max(top, x[n, c])
        top = warp_max(top)
        total = 0.0
        for c in range(lane, classes, WARP):
            y[n, c] = exp(x[n, c] - top)
            total += y[n, c]
        total = warp_sum(total)
        for c in range(lane, classes, WARP):
            y[n, c] /= total


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
