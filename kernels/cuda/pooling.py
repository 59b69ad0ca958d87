"""Pooling: the maximum or the average of windows of an image; x (N, C, H, W), y (N, C, OH, OW).

The window of output (i, j) begins at (i * stride_h - pad_h, j * stride_w - pad_w). What lies
outside of the image does not count for the maximum. For the average the sum is that of the values
inside of the image, and the divisor the area of the window within the padded image
(so padding counts as zeros, and what lies beyond it does not count at all).

Caffe's rule for the size of the output lets the last window lie wholly outside where the stride is
larger than the kernel: its maximum is the lowest float and its mask -1, its average 0 / 0 = NaN.

Forward a thread takes a window; a warp does where windows are wide, so that neighbouring threads
read neighbouring pixels. Back a thread takes a pixel and looks at each window that can have seen
it: (kernel / stride)^2 of them, of which neighbours read the same.
"""

from functools import cache
from typing import Any

import numpy as np

from ._array import DeviceArray
from ._compile.jit import Kernel, inner, kernel
from ._compile.words import F32, I32, WARP, grid, shuffle_xor, threadIdx
from ._reduce import warp_sum

Pair = tuple[int, int]

LOWEST = np.finfo(np.float32).min
WIDE = 16  # pixels of a window's line that are worth a warp


def max_forward(
    x: DeviceArray, y: DeviceArray, mask: DeviceArray, kernel: Pair, stride: Pair, pad: Pair
) -> None:
    """Write the maxima into y, and where they are (h * W + w; the first of equals) into mask."""
    lanes = _lanes(kernel)
    _max_forward(lanes).over(y.size * lanes)(
        *map(_planes, (x, y, mask)), *_windows(kernel, stride, pad)
    )


def max_backward(
    dy: DeviceArray, mask: DeviceArray, dx: DeviceArray, kernel: Pair, stride: Pair, pad: Pair
) -> None:
    """Overwrite dx: each gradient of dy is added where the maximum was.

    The windows are those of the maxima: they tell a pixel where it may have been one.
    """
    _max_backward.over(dx.size)(*map(_planes, (dy, mask, dx)), *_windows(kernel, stride, pad))


def average_forward(x: DeviceArray, y: DeviceArray, kernel: Pair, stride: Pair, pad: Pair) -> None:
    """Write the averages into y."""
    lanes = _lanes(kernel)
    _average_forward(lanes).over(y.size * lanes)(
        *map(_planes, (x, y)), *_windows(kernel, stride, pad)
    )


def average_backward(
    dy: DeviceArray, dx: DeviceArray, kernel: Pair, stride: Pair, pad: Pair
) -> None:
    """Overwrite dx: each gradient of dy is shared among the values of its window."""
    _average_backward.over(dx.size)(*map(_planes, (dy, dx)), *_windows(kernel, stride, pad))


def _lanes(kernel: Pair) -> int:
    """How many threads a window has."""
    return WARP if kernel[1] >= WIDE else 1


def _planes(maps: DeviceArray) -> DeviceArray:
    return maps.reshape(maps.shape[0] * maps.shape[1], *maps.shape[2:])


def _windows(*pairs: Pair) -> list[Pair]:
    """The pairs as kernels take them."""
    return [(int(h), int(w)) for h, w in pairs]


@cache
def _max_forward(lanes: int) -> Kernel:
    @kernel
    def max_forward(x: F32, y: F32, mask: I32, window: Pair, stride: Pair, pad: Pair) -> None:
        n, i, j = _place(grid() // lanes, y)
        if n < y.shape[0]:
            top, bottom = _inside(i, x.shape[1], window[0], stride[0], pad[0])
            left, right = _inside(j, x.shape[2], window[1], stride[1], pad[1])
            best, where = LOWEST, -1
            for h in range(top, bottom):
                for w in range(left + threadIdx.x % lanes, right, lanes):
                    if x[n, h, w] > best:
                        best, where = x[n, h, w], h * x.shape[2] + w
            if lanes > 1:
                best, where = _first_maximum(best, where)
            if threadIdx.x % lanes == 0:
                y[n, i, j] = best
                mask[n, i, j] = where

    return max_forward


@cache
def _average_forward(lanes: int) -> Kernel:
    @kernel
    def average_forward(x: F32, y: F32, window: Pair, stride: Pair, pad: Pair) -> None:
        n, i, j = _place(grid() // lanes, y)
        if n < y.shape[0]:
            top, bottom = _inside(i, x.shape[1], window[0], stride[0], pad[0])
            left, right = _inside(j, x.shape[2], window[1], stride[1], pad[1])
            total = 0.0
            for h in range(top, bottom):
                for w in range(left + threadIdx.x % lanes, right, lanes):
                    total += x[n, h, w]
            if lanes > 1:
                total = warp_sum(total)
            if threadIdx.x % lanes == 0:
                y[n, i, j] = total / _area(i, j, x, window, stride, pad)

    return average_forward


@kernel
def _max_backward(dy: F32, mask: I32, dx: F32, window: Pair, stride: Pair, pad: Pair) -> None:
    n, h, w = _place(grid(), dx)
    if n < dx.shape[0]:
        above, below = _seen_by(h, dy.shape[1], window[0], stride[0], pad[0])
        left, right = _seen_by(w, dy.shape[2], window[1], stride[1], pad[1])
        total = 0.0
        for i in range(above, below):
            for j in range(left, right):
                if mask[n, i, j] == h * dx.shape[2] + w:
                    total += dy[n, i, j]
        dx[n, h, w] = total


@kernel
def _average_backward(dy: F32, dx: F32, window: Pair, stride: Pair, pad: Pair) -> None:
    n, h, w = _place(grid(), dx)
    if n < dx.shape[0]:
        above, below = _seen_by(h, dy.shape[1], window[0], stride[0], pad[0])
        left, right = _seen_by(w, dy.shape[2], window[1], stride[1], pad[1])
        total = 0.0
        for i in range(above, below):
            for j in range(left, right):
                total += dy[n, i, j] / _area(i, j, dx, window, stride, pad)
        dx[n, h, w] = total


@inner
def _place(number: int, maps: F32) -> Any:
    """(plane, row, column) of an element; the plane is one too many after the last element."""
    row = number // maps.shape[2]
    return row // maps.shape[1], row % maps.shape[1], number % maps.shape[2]


@inner
def _inside(output: int, size: int, window: int, stride: int, pad: int) -> Any:
    """The pixels [first, last) of the image that a window sees, along an axis."""
    start = output * stride - pad
    return max(0, start), min(start + window, size)


@inner
def _seen_by(pixel: int, outputs: int, window: int, stride: int, pad: int) -> Any:
    """The windows [first, last) that see a pixel, along an axis."""
    padded = pixel + pad
    return max(0, padded - window + stride) // stride, min(padded // stride + 1, outputs)


@inner
def _area(i: int, j: int, x: F32, window: Pair, stride: Pair, pad: Pair) -> Any:
    """Of a window, within the padded image."""
    top, left = i * stride[0] - pad[0], j * stride[1] - pad[1]
    high = min(top + window[0], x.shape[1] + pad[0]) - top
    wide = min(left + window[1], x.shape[2] + pad[1]) - left
    return np.float32(high * wide)


@inner
def _first_maximum(best: float, where: int) -> Any:
    """The largest of a warp and its place, the first of equals; place -1 where none was found."""
    lane = WARP // 2
    while lane > 0:
        other, there = shuffle_xor(best, lane), shuffle_xor(where, lane)
        if other > best or (other == best and there >= 0 and (there < where or where < 0)):
            best, where = other, there
        lane //= 2
    return best, where
