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
from ._lanes import add_line, copy_line, fill_line
from ._vectors import LANES
from ._window_kernel import window_maxima, window_sums
from .im2col import places_inside

F32 = NDArray[np.float32]
I32 = NDArray[np.int32]
Pair = tuple[int, int]

LOWEST = np.finfo(np.float32).min
ZERO = np.float32(0)


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
    windows = _windows(x, y, kernel, stride, pad)
    _average_forward(windows, _areas(windows), x.reshape(-1), y.reshape(-1))


def average_backward(dy: F32, dx: F32, kernel: Pair, stride: Pair, pad: Pair) -> None:
    """Overwrite dx: each gradient of dy is shared among the values of its window."""
    windows = _windows(dx, dy, kernel, stride, pad)
    _average_backward(windows, _areas(windows), dy.reshape(-1), dx.reshape(-1))


def _windows(x: NDArray[Any], y: NDArray[Any], kernel: Pair, stride: Pair, pad: Pair) -> Windows:
    height, width = x.shape[2:]
    planes, out_height, out_width = x.shape[0] * x.shape[1], *y.shape[2:]
    return Windows(planes, height, width, out_height, out_width, *kernel, *stride, *pad)


@inner
def _whole_windows(windows: Windows) -> tuple[int, int]:
    """The columns [first, last) of windows that no border cuts."""
    first = (windows.pad_w + windows.stride_w - 1) // windows.stride_w
    last = (windows.width - windows.kernel_w + windows.pad_w) // windows.stride_w + 1
    return first, max(min(last, windows.out_width), first)


@inner
def _reaches(windows: Windows, first: int, line: int) -> int:
    """One more than the last place that a vector reads for windows `first` on in lines to `line`.

    Where there are fewer than LANES whole windows it reads on where more would be.
    """
    last = (first + LANES - 1) * windows.stride_w - windows.pad_w + windows.kernel_w
    return (line - 1) * windows.width + last


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
    maxima, places = np.empty(LANES, np.float32), np.empty(LANES, np.int32)
    whole = _whole_windows(windows)
    for line in prange(windows.planes * windows.out_height):
        plane, i = line // windows.out_height, line % windows.out_height
        image, out = plane * windows.height * windows.width, line * windows.out_width
        top, bottom = _lines_inside(windows, i)
        left_of_all = top * windows.width - windows.pad_w
        first, last = whole
        if last - first >= LANES:
            for start in range(first, last, LANES):  # the last overlaps the one before
                j = min(start, last - LANES)
                place = left_of_all + j * windows.stride_w
                window_maxima(
                    bottom - top, windows.kernel_w, x, image + place, windows.width,
                    windows.stride_w, place, y, out + j, mask, out + j,
                )  # fmt: skip
        elif image + _reaches(windows, first, bottom) <= x.size:
            place = left_of_all + first * windows.stride_w
            window_maxima(
                bottom - top, windows.kernel_w, x, image + place, windows.width, windows.stride_w,
                place, maxima, 0, places, 0,
            )  # fmt: skip
            for j in range(first, last):
                y[out + j], mask[out + j] = maxima[j - first], places[j - first]
        else:
            first = last
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


def _overlap(place: int, size: int, kernel: int, stride: int, pad: int) -> int:
    """How much of a window is inside of the padded image (not positive if nothing)."""
    start = place * stride - pad
    return min(start + kernel, size + pad) - start


def _areas(windows: Windows) -> F32:
    """The divisors of the averages of a plane's windows (out_height * out_width)."""
    high, wide = (
        [_overlap(place, size, kernel, stride, pad) for place in range(out)]
        for out, size, kernel, stride, pad in (
            (windows.out_height, windows.height, windows.kernel_h, windows.stride_h, windows.pad_h),
            (windows.out_width, windows.width, windows.kernel_w, windows.stride_w, windows.pad_w),
        )
    )
    return np.outer(high, wide).astype(np.float32).reshape(-1)


@kernel
def _average_forward(windows: Windows, areas: F32, x: F32, y: F32) -> None:
    sums = np.empty(LANES, np.float32)
    whole = _whole_windows(windows)
    for line in prange(windows.planes * windows.out_height):
        plane, i = line // windows.out_height, line % windows.out_height
        image, out = plane * windows.height * windows.width, line * windows.out_width
        top, bottom = _lines_inside(windows, i)
        left_of_all = image + top * windows.width - windows.pad_w
        first, last = whole
        if last - first >= LANES:
            for start in range(first, last, LANES):
                j = min(start, last - LANES)
                at = left_of_all + j * windows.stride_w
                window_sums(
                    bottom - top, windows.kernel_w, x, at, windows.width, windows.stride_w,
                    y, out + j,
                )  # fmt: skip
        elif image + _reaches(windows, first, bottom) <= x.size:
            at = left_of_all + first * windows.stride_w
            window_sums(
                bottom - top, windows.kernel_w, x, at, windows.width, windows.stride_w, sums, 0
            )
            copy_line(last - first, sums, 0, 1, y, out + first)
        else:
            first = last
        for cut in range(windows.out_width - (last - first)):
            j = cut if cut < first else cut + last - first
            left, right = _columns_inside(windows, j)
            total = np.float32(0)
            for h in range(top, bottom):
                for w in range(left, right):
                    total += x[image + h * windows.width + w]
            y[out + j] = total
        for j in range(windows.out_width):
            y[out + j] /= areas[i * windows.out_width + j]


@kernel
def _average_backward(windows: Windows, areas: F32, dy: F32, dx: F32) -> None:
    places = windows.out_height * windows.out_width
    shares = np.empty(places, np.float32)  # of each value of a window
    sums = np.empty(windows.out_width, np.float32)  # of the shares in a line of the image
    inside = [
        places_inside(tap - windows.pad_w, windows.stride_w, windows.width, windows.out_width)
        for tap in range(windows.kernel_w)
    ]
    for plane in prange(windows.planes):
        gradients = dy[plane * places : (plane + 1) * places]
        for place in range(places):
            shares[place] = gradients[place] / areas[place]
        for h in range(windows.height):
            fill_line(windows.out_width, ZERO, sums, 0)
            first = (h + windows.pad_h - windows.kernel_h) // windows.stride_h + 1
            last = (h + windows.pad_h) // windows.stride_h + 1
            for i in range(max(first, 0), min(last, windows.out_height)):
                add_line(windows.out_width, shares, i * windows.out_width, sums, 0)
            line = (plane * windows.height + h) * windows.width
            fill_line(windows.width, ZERO, dx, line)
            for tap in range(windows.kernel_w):
                shift = tap - windows.pad_w
                left, right = inside[tap]
                if windows.stride_w == 1:
                    add_line(right - left, sums, left, dx, line + left + shift)
                else:
                    for j in range(left, right):
                        dx[line + j * windows.stride_w + shift] += sums[j]
