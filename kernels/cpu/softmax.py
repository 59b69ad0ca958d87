"""Softmax along the middle axis of (outer, classes, inner).

With inner = 1 (a classifier) each task is a row. Otherwise (a map of scores) it is a tile of
neighbouring positions, so that memory is read in order; the maxima and sums of a tile stay in L1.
"""

import numpy as np
from numba import prange
from numpy.typing import NDArray

from ._jit import inner, kernel
from ._scalar import exp

F32 = NDArray[np.float32]

TILE = 256


def forward(x: F32, y: F32) -> None:
    """Write exp(x - max x), divided by its sum over the classes, into y (y may be x)."""
    if x.shape[2] == 1:
        _forward_rows(x.reshape(x.shape[:2]), y.reshape(y.shape[:2]))
    else:
        _forward_maps(x, y)


def backward(y: F32, dy: F32, dx: F32) -> None:
    """Write y (dy - sum of dy y over the classes) into dx (dx may be dy)."""
    if y.shape[2] == 1:
        rows = y.shape[:2]
        _backward_rows(y.reshape(rows), dy.reshape(rows), dx.reshape(rows))
    else:
        _backward_maps(y, dy, dx)


@kernel
def _forward_rows(x: F32, y: F32) -> None:
    for n in prange(x.shape[0]):
        top = np.float32(-np.inf)
        for c in range(x.shape[1]):
            top = max(top, x[n, c])
        total = np.float32(0)
        for c in range(x.shape[1]):
            y[n, c] = exp(x[n, c] - top)
            total += y[n, c]
        for c in range(x.shape[1]):
            y[n, c] /= total


@kernel
def _backward_rows(y: F32, dy: F32, dx: F32) -> None:
    for n in prange(y.shape[0]):
        dot = np.float32(0)
        for c in range(y.shape[1]):
            dot += y[n, c] * dy[n, c]
        for c in range(y.shape[1]):
            dx[n, c] = (dy[n, c] - dot) * y[n, c]


@kernel
def _forward_maps(x: F32, y: F32) -> None:
    outer, classes, width = x.shape
    tiles = (width + TILE - 1) // TILE
    for task in prange(outer * tiles):
        n = task // tiles
        start = task % tiles * TILE
        stop = min(width, start + TILE)
        top = np.full(stop - start, -np.inf, np.float32)
        total = np.zeros(stop - start, np.float32)
        for c in range(classes):
            _maximum(top, x[n, c, start:stop])
        for c in range(classes):
            _exponentials(x[n, c, start:stop], top, y[n, c, start:stop], total)
        for c in range(classes):
            _divide(y[n, c, start:stop], total)


@kernel
def _backward_maps(y: F32, dy: F32, dx: F32) -> None:
    outer, classes, width = y.shape
    tiles = (width + TILE - 1) // TILE
    for task in prange(outer * tiles):
        n = task // tiles
        start = task % tiles * TILE
        stop = min(width, start + TILE)
        dot = np.zeros(stop - start, np.float32)
        for c in range(classes):
            _add_products(y[n, c, start:stop], dy[n, c, start:stop], dot)
        for c in range(classes):
            _gradient(y[n, c, start:stop], dy[n, c, start:stop], dot, dx[n, c, start:stop])


@inner
def _maximum(top: F32, x: F32) -> None:
    for i in range(x.size):
        top[i] = x[i] if x[i] > top[i] else top[i]


@inner
def _exponentials(x: F32, top: F32, y: F32, total: F32) -> None:
    for i in range(x.size):
        value = exp(x[i] - top[i])
        y[i] = value
        total[i] += value


@inner
def _divide(y: F32, total: F32) -> None:
    for i in range(y.size):
        y[i] /= total[i]


@inner
def _add_products(y: F32, dy: F32, dot: F32) -> None:
    for i in range(y.size):
        dot[i] += y[i] * dy[i]


@inner
def _gradient(y: F32, dy: F32, dot: F32, dx: F32) -> None:
    for i in range(y.size):
        dx[i] = (dy[i] - dot[i]) * y[i]
