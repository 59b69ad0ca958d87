"""Pooling: the maximum or the average of windows of an image; x (N, C, H, W), y (N, C, OH, OW).

The window of output (i, j) begins at (i * stride_h - pad_h, j * stride_w - pad_w). What lies
outside of the image does not count for the maximum. For the average the sum is that of the values
inside of the image, and the divisor the area of the window within the padded image
(so padding counts as zeros, and what lies beyond it does not count at all).

Caffe's rule for the size of the output lets the last window lie wholly outside where the stride is
larger than the kernel: its maximum is the lowest float and its mask -1, its average 0 / 0 = NaN.

A line of outputs at a time. The windows that are wholly inside of the image go through vector
code, LANES of them at once (`maxima.py`, `sums.py`); those that the border cuts, one by one. One
comparison or addition a tap and output.
"""

from functools import lru_cache
from typing import Any, NamedTuple

import numpy as np
from numba import prange
from numpy.typing import NDArray

from .._compile.jit import inner, kernel
from .._vector.instructions import LANES
from .._vector.lanes import weave_line
from .._vector.reductions import sum_line
from .maxima import Window, window_maxima
from .sums import Lines, divide_lanes, sum_lines, sum_pairs, sum_windows

F32 = NDArray[np.float32]
I32 = NDArray[np.int32]
I64 = NDArray[np.int64]
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


def max_backward(dy: F32, mask: I32, dx: F32, kernel: Pair, stride: Pair, pad: Pair) -> None:
    """Overwrite dx: each gradient of dy is added where the maximum was.

    The windows are those of the maxima: a device that gathers looks there, this one need not.
    """
    planes = dx.shape[0] * dx.shape[1]
    pixels, outputs = (maps.shape[2] * maps.shape[3] for maps in (dx, dy))
    _max_backward(
        dy.reshape(planes, outputs), mask.reshape(planes, outputs), dx.reshape(planes, pixels)
    )


def average_forward(x: F32, y: F32, kernel: Pair, stride: Pair, pad: Pair) -> None:
    """Write the averages into y."""
    if _global(x, y, kernel, pad):
        _means(kernel[0] * kernel[1], x.reshape(-1), y.reshape(-1))
        return
    windows = _windows(x, y, kernel, stride, pad)
    _average_forward(
        windows, _areas(windows), _lines_of_windows(windows), x.reshape(-1), y.reshape(-1)
    )


def average_backward(dy: F32, dx: F32, kernel: Pair, stride: Pair, pad: Pair) -> None:
    """Overwrite dx: each gradient of dy is shared among the values of its window."""
    if _global(dx, dy, kernel, pad):
        _spread(dy.reshape(-1), dx.reshape(dy.size, kernel[0] * kernel[1]))
        return
    windows = _windows(dx, dy, kernel, stride, pad)
    _average_backward(
        windows, _areas(windows), _windows_of_lines(windows), dy.reshape(-1), dx.reshape(-1)
    )


def _global(x: F32, y: F32, kernel: Pair, pad: Pair) -> bool:
    """Whether there is one window, which is the image."""
    return y.shape[2:] == (1, 1) and pad == (0, 0) and kernel == x.shape[2:]


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
    """One more than the last pixel that a vector reads for windows `first` on in lines to `line`.

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
    maxima, pixels = np.empty(LANES, np.float32), np.empty(LANES, np.int32)
    whole = _whole_windows(windows)
    for line in prange(windows.planes * windows.out_height):
        plane, i = line // windows.out_height, line % windows.out_height
        image, out = plane * windows.height * windows.width, line * windows.out_width
        top, bottom = _lines_inside(windows, i)
        left_of_all = top * windows.width - windows.pad_w
        first, last = whole
        window = Window(bottom - top, windows.kernel_w, windows.width, windows.stride_w)
        if last - first >= LANES:
            for start in range(first, last, LANES):  # the last overlaps the one before
                j = min(start, last - LANES)
                pixel = left_of_all + j * windows.stride_w
                window_maxima(window, x, image + pixel, pixel, y, out + j, mask, out + j)
        elif image + _reaches(windows, first, bottom) <= x.size:
            pixel = left_of_all + first * windows.stride_w
            window_maxima(window, x, image + pixel, pixel, maxima, 0, pixels, 0)
            for j in range(first, last):
                y[out + j], mask[out + j] = maxima[j - first], pixels[j - first]
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
        for output in range(dy.shape[1]):
            if mask[plane, output] >= 0:
                dx[plane, mask[plane, output]] += dy[plane, output]


def _overlap(output: int, size: int, kernel: int, stride: int, pad: int) -> int:
    """How much of a window is inside of the padded image (not positive if nothing)."""
    start = output * stride - pad
    return min(start + kernel, size + pad) - start


@lru_cache(maxsize=256)
def _lines_of_windows(windows: Windows) -> I64:
    """Which lines of the image each line of windows sees: the first, and how many."""
    first = np.arange(windows.out_height) * windows.stride_h - windows.pad_h
    last = np.minimum(first + windows.kernel_h, windows.height)
    return _ranges(np.maximum(first, 0), last)


@lru_cache(maxsize=256)
def _windows_of_lines(windows: Windows) -> I64:
    """Which lines of windows see each line of the image: the first, and how many."""
    padded = np.arange(windows.height) + windows.pad_h
    first = np.maximum((padded - windows.kernel_h) // windows.stride_h + 1, 0)
    return _ranges(first, np.minimum(padded // windows.stride_h + 1, windows.out_height))


def _ranges(first: I64, last: I64) -> I64:
    return np.stack([first, np.maximum(last - first, 0)], axis=1).reshape(-1)


@lru_cache(maxsize=256)
def _areas(windows: Windows) -> F32:
    """The divisors of the averages of a plane's windows (out_height * out_width)."""
    high, wide = (
        [_overlap(output, size, kernel, stride, pad) for output in range(out)]
        for out, size, kernel, stride, pad in (
            (windows.out_height, windows.height, windows.kernel_h, windows.stride_h, windows.pad_h),
            (windows.out_width, windows.width, windows.kernel_w, windows.stride_w, windows.pad_w),
        )
    )
    return np.outer(high, wide).astype(np.float32).reshape(-1)


@kernel
def _average_forward(windows: Windows, areas: F32, table: I64, x: F32, y: F32) -> None:
    width, out_width = windows.width, windows.out_width
    outputs = windows.out_height * out_width
    # For each line of outputs the sums over lines of the image, with zeros on both sides; and the
    # sums of these over columns.
    line = windows.out_width * windows.stride_w + windows.kernel_w + 2 * LANES * windows.stride_w
    line += windows.pad_w + width
    sums = np.zeros(windows.out_height * line, np.float32)
    totals = np.empty(outputs + LANES, np.float32)
    for plane in prange(windows.planes):
        image = plane * windows.height * width
        if width >= LANES:
            sum_lines(
                windows.out_height, table, width, x, Lines(image, width),
                sums, Lines(windows.pad_w, line),
            )  # fmt: skip
        else:
            for i in range(windows.out_height):
                for w in range(width):
                    total = ZERO
                    for h in range(table[2 * i], table[2 * i] + table[2 * i + 1]):
                        total += x[image + h * width + w]
                    sums[i * line + windows.pad_w + w] = total
        sum_windows(
            windows.out_height, out_width, windows.kernel_w, windows.stride_w,
            sums, Lines(0, line), totals, Lines(0, out_width),
        )  # fmt: skip
        _divide(outputs, totals, 0, areas, y, plane * outputs)


@kernel
def _average_backward(windows: Windows, areas: F32, table: I64, dy: F32, dx: F32) -> None:
    height, width, out_width = windows.height, windows.width, windows.out_width
    outputs, stride = windows.out_height * out_width, windows.stride_w
    # All values of a window get the same share of its gradient. For each line of the image the
    # sums of the shares that reach it, with zeros on both sides; of these, by the phases of the
    # stride, the sums that reach a pixel.
    shares = np.empty(outputs + LANES, np.float32)
    reach = (windows.kernel_w - 1) // stride
    seen = (width - 1 + windows.pad_w) // stride + 1
    line = reach + max(out_width, seen) + 4 * LANES
    sums = np.zeros(height * line, np.float32)
    part = seen + windows.pad_w + 2 * LANES
    phases = np.empty(stride * part, np.float32)
    few = np.empty(2 * LANES, np.float32)
    # What is written after a line is written again by the next one: but not at the end.
    quick = 0
    if stride == 2 or (stride == 1 and width >= LANES):
        quick = (
            height if width % (2 * LANES) == 0 or stride == 1 else height - 1 - 2 * LANES // width
        )
    quick = max(quick, 0)
    skip = windows.pad_w
    for plane in prange(windows.planes):
        _divide(outputs, dy[plane * outputs : (plane + 1) * outputs], 0, areas, shares, 0)
        sum_lines(height, table, out_width, shares, Lines(0, out_width), sums, Lines(reach, line))
        image = plane * height * width
        if stride == 1:
            begin = reach + skip - windows.kernel_w + 1
            source, target = Lines(begin, line), Lines(image, width)
            sum_windows(quick, width, windows.kernel_w, 1, sums, source, dx, target)
        elif stride == 2:
            even, odd = _taps(windows, skip % 2), _taps(windows, (skip + 1) % 2)
            begin = reach + 1 + skip // 2 - even
            other = reach + 1 + (skip + 1) // 2 - odd
            sum_pairs(
                quick, width, even, Lines(begin, line), odd, Lines(other, line), sums, dx,
                Lines(image, width),
            )  # fmt: skip
        for h in range(quick, height):
            for phase in range(stride):
                taps = _taps(windows, phase)
                begin = h * line + reach + 1 - max(taps, 1)
                sum_windows(
                    1, seen, taps, 1, sums, Lines(begin, line), phases, Lines(phase * part, part)
                )
            weave_line(few, width, stride, skip, part, phases, 0, dx, image + h * width)


@inner
def _taps(windows: Windows, phase: int) -> int:
    """How many of the numbers phase, phase + stride ... are columns of a window."""
    return max(windows.kernel_w - phase + windows.stride_w - 1, 0) // windows.stride_w


@inner
def _divide(count: int, x: F32, x0: int, by: F32, y: F32, y0: int) -> None:
    """The quotients of two lines."""
    if count >= LANES:
        divide_lanes(count, x, x0, by, 0, y, y0)
    else:
        for j in range(count):
            y[y0 + j] = x[x0 + j] / by[j]


@kernel
def _means(size: int, x: F32, y: F32) -> None:
    for plane in prange(y.size):
        total = ZERO
        if size >= LANES:
            total = sum_line(size, x, plane * size)
        else:
            for pixel in range(plane * size, (plane + 1) * size):
                total += x[pixel]
        y[plane] = total / np.float32(size)


@kernel
def _spread(dy: F32, dx: F32) -> None:
    size = np.float32(dx.shape[1])
    for plane in prange(dx.shape[0]):
        share = dy[plane] / size
        for pixel in range(dx.shape[1]):
            dx[plane, pixel] = share
