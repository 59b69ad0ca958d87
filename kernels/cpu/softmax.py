"""Softmax along the middle axis of (outer, classes, inner).

With inner = 1 (a classifier) each task is some rows, which are one line for the exponentials: ten
classes alone would not fill a vector. Otherwise (a map of scores) it is a tile of neighbouring
positions, so that memory is read in order. The tile is copied together: the planes of classes are
often a power of two apart, and would throw each other out of the cache. Each number is read once
and written once: 8 bytes forward, 12 backward, and one exponential.
"""

import numpy as np
from numba import prange
from numpy.typing import NDArray

from ._compile.jit import inner, jitable, kernel
from ._scalar import exp_or_zero
from ._vector.instructions import LANES
from ._vector.lanes import fill_line
from ._vector.reductions import TURN, greatest, raise_line

F32 = NDArray[np.float32]

ROWS = 4096  # floats of the rows of a task, about: half of a first-level cache
TILE = 1024
KEPT = 1 << 16  # floats of a tile of all classes: half of a second-level cache
LOWEST = np.float32(-np.inf)


def forward(x: F32, y: F32) -> None:
    """Write exp(x - max x), divided by its sum over the classes, into y (y may be x)."""
    if x.size == 0:
        return
    if x.shape[2] == 1:
        _forward_rows(x.reshape(x.shape[:2]), y.reshape(y.shape[:2]))
    else:
        _forward_maps(x, y)


def backward(y: F32, dy: F32, dx: F32) -> None:
    """Write y (dy - sum of dy y over the classes) into dx (dx may be dy)."""
    if y.size == 0:
        return
    if y.shape[2] == 1:
        rows = y.shape[:2]
        _backward_rows(y.reshape(rows), dy.reshape(rows), dx.reshape(rows))
    else:
        _backward_maps(y, dy, dx)


@jitable
def rows_of_task(classes: int) -> int:
    """How many rows are taken together."""
    return max(ROWS // classes, 1)


@inner
def softmax_rows(x: F32, y: F32) -> None:
    """The probabilities of some rows."""
    flat, line = x.reshape(-1), y.reshape(-1)
    rows, classes = x.shape
    turns = classes // TURN
    for n in range(rows):
        top = greatest(turns, flat, n * classes)
        for c in range(turns * TURN, classes):
            top = max(top, x[n, c])
        for c in range(classes):
            y[n, c] = x[n, c] - top
    for i in range(line.size):
        line[i] = exp_or_zero(line[i])
    for n in range(rows):
        total = np.float32(0)
        for c in range(classes):
            total += y[n, c]
        share = np.float32(1) / total
        for c in range(classes):
            y[n, c] *= share


@kernel
def _forward_rows(x: F32, y: F32) -> None:
    together = rows_of_task(x.shape[1])
    for task in prange((x.shape[0] + together - 1) // together):
        first, last = task * together, (task + 1) * together
        softmax_rows(x[first:last], y[first:last])


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
    tile = _tile(classes)
    tiles = (width + tile - 1) // tile
    kept = np.empty((classes, tile), np.float32)
    flat = kept.reshape(-1)
    top, total = np.empty(tile, np.float32), np.empty(tile, np.float32)
    for task in prange(outer * tiles):
        n = task // tiles
        start = task % tiles * tile
        count = min(tile, width - start)
        fill_line(count, LOWEST, top, 0)
        fill_line(count, np.float32(0), total, 0)
        for c in range(classes):
            _keep(x[n, c, start : start + count], kept[c, :count])
            raise_line(count, flat, c * tile, top, 0)
        for c in range(classes):
            _exponentials(kept[c, :count], top, total)
        _invert(total[:count])
        for c in range(classes):
            _multiply(kept[c, :count], total, y[n, c, start : start + count])


@kernel
def _backward_maps(y: F32, dy: F32, dx: F32) -> None:
    outer, classes, width = y.shape
    tile = _tile(classes)
    tiles = (width + tile - 1) // tile
    kept = np.empty((2, classes, tile), np.float32)
    dot = np.empty(tile, np.float32)
    for task in prange(outer * tiles):
        n = task // tiles
        start = task % tiles * tile
        stop = min(start + tile, width)
        count = stop - start
        fill_line(count, np.float32(0), dot, 0)
        for c in range(classes):
            _keep_both(
                y[n, c, start:stop], dy[n, c, start:stop], kept[0, c, :count], kept[1, c, :count],
                dot,
            )  # fmt: skip
        for c in range(classes):
            _gradient(kept[0, c, :count], kept[1, c, :count], dot, dx[n, c, start:stop])


@inner
def _tile(classes: int) -> int:
    """Positions of a tile: fewer where there are many classes, so that it stays in the cache."""
    return max(min(TILE, KEPT // classes // LANES * LANES), 2 * LANES)


@inner
def _keep(source: F32, target: F32) -> None:
    for i in range(target.size):
        target[i] = source[i]


@inner
def _exponentials(y: F32, top: F32, total: F32) -> None:
    for i in range(y.size):
        value = exp_or_zero(y[i] - top[i])
        y[i] = value
        total[i] += value


@inner
def _invert(total: F32) -> None:
    for i in range(total.size):
        total[i] = np.float32(1) / total[i]


@inner
def _multiply(x: F32, factor: F32, y: F32) -> None:
    for i in range(y.size):
        y[i] = x[i] * factor[i]


@inner
def _keep_both(y: F32, dy: F32, kept_y: F32, kept_dy: F32, dot: F32) -> None:
    for i in range(y.size):
        kept_y[i], kept_dy[i] = y[i], dy[i]
        dot[i] += y[i] * dy[i]


@inner
def _gradient(y: F32, dy: F32, dot: F32, dx: F32) -> None:
    for i in range(y.size):
        dx[i] = (dy[i] - dot[i]) * y[i]
