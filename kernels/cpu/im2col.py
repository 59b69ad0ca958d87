"""im2col and col2im, for any number of axes: C * taps * positions reads and writes an image.

    col[n, (c, r), p] = x[n, c, stride * p + dilation * r - pad]     (0 outside of the image)

A *line* is the innermost axis: for one tap it is read from the image with a fixed stride, between
the positions where the tap leaves the image. The other axes are counted through, so that one
compiled loop serves images of one, two, three and more axes.
"""

import math

import numpy as np
from numba import prange
from numpy.typing import NDArray

from ._compile.jit import inner, kernel

F32 = NDArray[np.float32]
I64 = NDArray[np.int64]
Extents = tuple[int, ...]


def im2col(
    x: F32, col: F32, kernel: Extents, stride: Extents, pad: Extents, dilation: Extents
) -> None:
    """Write col (N, C * taps, *out) from the images x (N, C, *spatial)."""
    table = window_table(x.shape[2:], col.shape[2:], kernel, stride, pad, dilation)
    planes, lines = x.shape[0] * x.shape[1], math.prod(col.shape[2:-1])
    images, columns = _planes(x, planes), _planes(col, planes)
    _im2col(images, columns, table, math.prod(kernel), lines)


def col2im(
    col: F32, dx: F32, kernel: Extents, stride: Extents, pad: Extents, dilation: Extents
) -> None:
    """Overwrite the images dx (N, C, *spatial) with the sums of what col has for each value."""
    table = window_table(dx.shape[2:], col.shape[2:], kernel, stride, pad, dilation)
    planes, lines = dx.shape[0] * dx.shape[1], math.prod(col.shape[2:-1])
    images, columns = _planes(dx, planes), _planes(col, planes)
    _col2im(columns, images, table, math.prod(kernel), lines)


def _planes(values: F32, planes: int) -> F32:
    """The values with one axis for planes; of no planes too, where -1 has no meaning."""
    return values.reshape(planes, values.size // max(planes, 1))


SPATIAL, OUT, KERNEL, STRIDE, PAD, DILATION = range(6)  # rows of a window table


def window_table(
    spatial: Extents,
    out: Extents,
    kernel: Extents,
    stride: Extents,
    pad: Extents,
    dilation: Extents,
) -> I64:
    """The geometry as an array: a row for each of these, a column for each axis (at least one)."""
    if not spatial:
        return np.array([[1], [1], [1], [1], [0], [1]], np.int64)
    return np.array([spatial, out, kernel, stride, pad, dilation], np.int64)


@inner
def line_start(tap: int, line: int, table: I64) -> int:
    """Where in its plane the line begins that a tap reads for a line of positions; -1 if outside.

    `tap` counts all taps, `line` the positions along all axes but the innermost.
    """
    last = table.shape[1] - 1
    size = table[SPATIAL, last]
    tap //= table[KERNEL, last]
    start = 0
    for axis in range(last - 1, -1, -1):
        position, r = line % table[OUT, axis], tap % table[KERNEL, axis]
        at = position * table[STRIDE, axis] + r * table[DILATION, axis] - table[PAD, axis]
        if at < 0 or at >= table[SPATIAL, axis]:
            return -1
        start += at * size
        size *= table[SPATIAL, axis]
        line //= table[OUT, axis]
        tap //= table[KERNEL, axis]
    return start


@inner
def places_inside(shift: int, stride: int, size: int, out: int) -> tuple[int, int]:
    """The positions p in [first, last) whose value, p * stride + shift, is in [0, size)."""
    first = min(max(-(shift // stride), 0), out)
    last = max(min((size - 1 - shift) // stride + 1, out), first)
    return first, last


@kernel
def _im2col(x: F32, col: F32, table: I64, taps: int, lines: int) -> None:
    last_axis = table.shape[1] - 1
    width, out_width = table[SPATIAL, last_axis], table[OUT, last_axis]
    stride = table[STRIDE, last_axis]
    for row in prange(x.shape[0] * taps):
        plane, tap = row // taps, row % taps
        shift = tap % table[KERNEL, last_axis] * table[DILATION, last_axis] - table[PAD, last_axis]
        inside = places_inside(shift, stride, width, out_width)
        for line in range(lines):
            to = (tap * lines + line) * out_width
            start = line_start(tap, line, table)
            first, last = inside if start >= 0 else (out_width, out_width)
            for p in range(first):
                col[plane, to + p] = 0
            for p in range(first, last):
                col[plane, to + p] = x[plane, start + shift + p * stride]
            for p in range(last, out_width):
                col[plane, to + p] = 0


@kernel
def _col2im(col: F32, dx: F32, table: I64, taps: int, lines: int) -> None:
    last_axis = table.shape[1] - 1
    width, out_width = table[SPATIAL, last_axis], table[OUT, last_axis]
    stride = table[STRIDE, last_axis]
    for plane in prange(dx.shape[0]):
        for at in range(dx.shape[1]):
            dx[plane, at] = 0
        for tap in range(taps):
            r = tap % table[KERNEL, last_axis]
            shift = r * table[DILATION, last_axis] - table[PAD, last_axis]
            first, last = places_inside(shift, stride, width, out_width)
            for line in range(lines):
                start = line_start(tap, line, table)
                if start >= 0:
                    source = (tap * lines + line) * out_width
                    for p in range(first, last):
                        dx[plane, start + shift + p * stride] += col[plane, source + p]
