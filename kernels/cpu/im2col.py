"""im2col and col2im, for any number of axes: C * taps * places reads and writes an image.

    col[n, (c, r), p] = x[n, c, stride * p + dilation * r - pad]     (0 outside of the image)

A *line* is the innermost axis: for one tap it is read from the image with a fixed stride, between
the places where the tap leaves the image. The other axes are counted through, so that one
compiled loop serves images of one, two, three and more axes.
"""

import numpy as np
from numba import prange
from numpy.typing import NDArray

from ._jit import inner, kernel

F32 = NDArray[np.float32]
I64 = NDArray[np.int64]
Extents = tuple[int, ...]


def im2col(
    x: F32, col: F32, kernel: Extents, stride: Extents, pad: Extents, dilation: Extents
) -> None:
    """Write col (N, C * taps, *out) from the images x (N, C, *spatial)."""
    table = window_table(x.shape[2:], col.shape[2:], kernel, stride, pad, dilation)
    _im2col(x.reshape(-1), col.reshape(-1), x.shape[0] * x.shape[1], table)


def col2im(
    col: F32, dx: F32, kernel: Extents, stride: Extents, pad: Extents, dilation: Extents
) -> None:
    """Overwrite the images dx (N, C, *spatial) with the sums of what col has for each value."""
    table = window_table(dx.shape[2:], col.shape[2:], kernel, stride, pad, dilation)
    _col2im(col.reshape(-1), dx.reshape(-1), dx.shape[0] * dx.shape[1], table)


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
def rows_of(table: I64) -> tuple[I64, I64, I64, I64, I64, I64]:
    """The rows of a window table."""
    return table[0], table[1], table[2], table[3], table[4], table[5]


@inner
def line_start(tap: int, line: int, table: I64) -> int:
    """Where a tap reads a line of places: the index of the image's line, or -1 if outside.

    `tap` and `line` count the taps and the places of all axes but the innermost.
    """
    spatial, out, kernel, stride, pad, dilation = rows_of(table)
    start = 0
    size = 1
    for axis in range(table.shape[1] - 2, -1, -1):
        at = line % out[axis] * stride[axis] + tap % kernel[axis] * dilation[axis] - pad[axis]
        if at < 0 or at >= spatial[axis]:
            return -1
        start += at * size
        size *= spatial[axis]
        line //= out[axis]
        tap //= kernel[axis]
    return start


@inner
def places_inside(shift: int, stride: int, size: int, out: int) -> tuple[int, int]:
    """The places p in [first, last) whose value, p * stride + shift, is in [0, size)."""
    first = min(max(-(shift // stride), 0), out)
    last = max(min((size - 1 - shift) // stride + 1, out), first)
    return first, last


@kernel
def _im2col(x: F32, col: F32, planes: int, table: I64) -> None:
    spatial, out, kernel, stride, pad, dilation = rows_of(table)
    taps, lines = np.prod(kernel), np.prod(out[:-1])
    width, out_width = spatial[-1], out[-1]
    size = np.prod(spatial)
    for row in prange(planes * taps):
        tap = row % taps
        shift = tap % kernel[-1] * dilation[-1] - pad[-1]
        first, last = places_inside(shift, stride[-1], width, out_width)
        for line in range(lines):
            to = (row * lines + line) * out_width
            start = line_start(tap // kernel[-1], line, table)
            if start < 0:
                for p in range(out_width):
                    col[to + p] = 0
                continue
            source = row // taps * size + start * width + shift
            for p in range(first):
                col[to + p] = 0
            for p in range(first, last):
                col[to + p] = x[source + p * stride[-1]]
            for p in range(last, out_width):
                col[to + p] = 0


@kernel
def _col2im(col: F32, dx: F32, planes: int, table: I64) -> None:
    spatial, out, kernel, stride, pad, dilation = rows_of(table)
    taps, lines = np.prod(kernel), np.prod(out[:-1])
    width, out_width = spatial[-1], out[-1]
    size = np.prod(spatial)
    for plane in prange(planes):
        for at in range(plane * size, (plane + 1) * size):
            dx[at] = 0
        for tap in range(taps):
            shift = tap % kernel[-1] * dilation[-1] - pad[-1]
            first, last = places_inside(shift, stride[-1], width, out_width)
            for line in range(lines):
                start = line_start(tap // kernel[-1], line, table)
                if start >= 0:
                    source = ((plane * taps + tap) * lines + line) * out_width
                    to = plane * size + start * width + shift
                    for p in range(first, last):
                        dx[to + p * stride[-1]] += col[source + p]
