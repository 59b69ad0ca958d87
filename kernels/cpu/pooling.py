"""Pooling: the maximum or the average of windows of an image; x (N, C, H, W), y (N, C, OH, OW).

The window of output (i, j) begins at (i * stride_h - pad_h, j * stride_w - pad_w). What lies
outside of the image does not count for the maximum. For the average the sum is that of the values
inside of the image, and the divisor the area of the window within the padded image
(so padding counts as zeros, and what lies beyond it does not count at all).

Caffe's rule for the size of the output lets the last window lie wholly outside where the stride is
larger than the kernel: its maximum is the lowest float and its mask -1, its average 0 / 0 = NaN.

A line of outputs at a time. The windows that are wholly inside of the image go through vector
code, LANES of them at once (`_window_kernel.py`); those that the border cuts, one by one. One
comparison or addition a tap and output.
"""

from typing import Any, NamedTuple

import numpy as np
from numba import prange
from numpy.typing import NDArray

from ._jit import inner, kernel
from ._vectors import LANES
from ._window_kernel import window_maxima, window_sums
from .im2col import places_inside

F32 = NDArray[np.float32]
I32 = NDArray[np.int32]
Pair = tuple[int, int]

LOWEST = np.finfo(np.float32).min


class Windows(NamedTuple):
    """The sizes of planes, and of the windows on them."""

    planes: int
    height: int
    width: int
    out_height: int
    out_width: int
    kernel_h: int
    kernel_w: int
    stride_h: int
    stride_w: int
    pad_h: int
    pad_w: int


def max_forward(x: F32, y: F32, mask: I32, kernel: Pair, stride: Pair, pad: Pair) -> None:
    """Write the maxima into y, and where they are (h * W + w; the first of equals) into mask."""
    windows = _windows(x, y, kernel, stride, pad)
    _max_forward(windows, x.reshape(-1), y.reshape(-1), mask.reshape(-1))


def max_backward(dy: F32, mask: I32, dx: F32) -> None:
    """Overwrite dx: each gradient of dy is added where the maximum was."""
    planes = dx.shape[0] * dx.shape[1]
    size, places = (maps.shape[2] * maps.shape[3] for maps in (dx, dy))
    _max_backward(
        dy.reshape(planes, places), mask.reshape(planes, places), dx.reshape(planes, size)
    )


def average_forward(x: F32, y: F32, kernel: Pair, stride: Pair, pad: Pair) -> None:
    """Write the averages into y."""
    _average_forward(_windows(x, y, kernel, stride, pad), x.reshape(-1), y.reshape(-1))


def average_backward(dy: F32, dx: F32, kernel: Pair, stride: Pair, pad: Pair) -> None:
    """Overwrite dx: each gradient of dy is shared among the values of its window."""
    _average_backward(_windows(dx, dy, kernel, stride, pad), dy.reshape(-1), dx.reshape(-1))


def _windows(x: NDArray[Any], y: NDArray[Any], kernel: Pair, stride: Pair, pad: Pair) -> Windows:
    height, width = x.shape[2:]
    planes, out_height, out_width = x.shape[0] * x.shape[1], *y.shape[2:]
    return Windows(planes, height, width, out_height, out_width, *kernel, *stride, *pad)


@inner
def _whole_windows(windows: Windows) -> tuple[int, int]:
    """The columns [first, last) of windows that no border cuts, as far as they fill vectors."""
    first = (windows.pad_w + windows.stride_w - 1) // windows.stride_w
    last = (windows.width - windows.kernel_w + windows.pad_w) // windows.stride_w + 1
    first, last = min(first, windows.out_width), min(last, windows.out_width)
    return (first, last) if last - first >= LANES else (0, 0)


@inner
def _lines_inside(windows: Windows, i: int) -> tuple[int, int]:
    """The lines [top, bottom) of the image that the windows of a line of outputs see."""
    top = i * windows.stride_h - windows.pad_h
    return max(top, 0), min(top + windows.kernel_h, windows.height)


@inner
def _columns_inside(windows: Windows, j: int) -> tuple[int, int]:
    """The columns [left, right) of the image that a window sees."""
    left = j * windows.stride_w - windows.pad_w
    return max(left, 0), min(left + windows.kernel_w, windows.width)


@kernel
def _max_forward(windows: Windows, x: F32, y: F32, mask: I32) -> None:
    first, last = _whole_windows(windows)
    for line in prange(windows.planes * windows.out_height):
        plane, i = line // windows.out_height, line % windows.out_height
        image, out = plane * windows.height * windows.width, line * windows.out_width
        top, bottom = _lines_inside(windows, i)
        for start in range(first, last, LANES):
            j = min(start, last - LANES)
            place = top * windows.width + j * windows.stride_w - windows.pad_w
            window_maxima(
                bottom - top, windows.kernel_w, x, image + place, windows.width, windows.stride_w,
                place, y, out + j, mask, out + j,
            )  # fmt: skip
        for cut in range(windows.out_width - (last - first)):
            j = cut if cut < first else cut + last - first
            left, right = _columns_inside(windows, j)
            greatest, where = LOWEST, -1
            for h in range(top, bottom):
                for w in range(left, right):
                    if x[image + h * windows.width + w] > greatest:
                        greatest = x[image + h * windows.width + w]
                        where = h * windows.width + w
            y[out + j], mask[out + j] = greatest, where


@kernel
def _max_backward(dy: F32, mask: I32, dx: F32) -> None:
    for plane in prange(dx.shape[0]):
        for at in range(dx.shape[1]):
            dx[plane, at] = 0
        for place in range(dy.shape[1]):
            if mask[plane, place] >= 0:
                dx[plane, mask[plane, place]] += dy[plane, place]


@inner
def _overlap(place: int, size: int, kernel: int, stride: int, pad: int) -> int:
    """How much of a window is inside of the padded image (not positive if nothing)."""
    start = place * stride - pad
    return min(start + kernel, size + pad) - start


@inner
def _area(windows: Windows, i: int, j: int) -> np.float32:
    """The divisor of the average of a window."""
    high = _overlap(i, windows.height, windows.kernel_h, windows.stride_h, windows.pad_h)
    wide = _overlap(j, windows.width, windows.kernel_w, windows.stride_w, windows.pad_w)
    return np.float32(high * wide)


@kernel
def _average_forward(windows: Windows, x: F32, y: F32) -> None:
    first, last = _whole_windows(windows)
    for line in prange(windows.planes * windows.out_height):
        plane, i = line // windows.out_height, line % windows.out_height
        image, out = plane * windows.height * windows.width, line * windows.out_width
        top, bottom = _lines_inside(windows, i)
        for start in range(first, last, LANES):
            j = min(start, last - LANES)
            at = image + top * windows.width + j * windows.stride_w - windows.pad_w
            window_sums(
                bottom - top, windows.kernel_w, x, at, windows.width, windows.stride_w, y, out + j
            )
        for cut in range(windows.out_width - (last - first)):
            j = cut if cut < first else cut + last - first
            left, right = _columns_inside(windows, j)
            total = np.float32(0)
            for h in range(top, bottom):
                for w in range(left, right):
                    total += x[image + h * windows.width + w]
            y[out + j] = total
        for j in range(windows.out_width):
            y[out + j] /= _area(windows, i, j)


@kernel
def _average_backward(windows: Windows, dy: F32, dx: F32) -> None:
    shares = np.empty(windows.out_width, np.float32)
    size = windows.height * windows.width
    for plane in prange(windows.planes):
        for at in range(plane * size, (plane + 1) * size):
            dx[at] = 0
        for i in range(windows.out_height):
            line = (plane * windows.out_height + i) * windows.out_width
            for j in range(windows.out_width):
                shares[j] = dy[line + j] / _area(windows, i, j)
            top, bottom = _lines_inside(windows, i)
            for h in range(top, bottom):
                for tap in range(windows.kernel_w):
                    shift = tap - windows.pad_w
                    inside = places_inside(
                        shift, windows.stride_w, windows.width, windows.out_width
                    )
                    to = plane * size + h * windows.width + shift
                    for j in range(inside[0], inside[1]):
                        dx[to + j * windows.stride_w] += shares[j]
