"""Pooling: the maximum or the average of windows of an image; x (N, C, H, W), y (N, C, OH, OW).

The window of output (i, j) begins at (i * stride_h - pad_h, j * stride_w - pad_w). What lies
outside of the image does not count for the maximum. For the average the sum is that of the values
inside of the image, and the divisor the area of the window within the padded image
(so padding counts as zeros, and what lies beyond it does not count at all).

Caffe's rule for the size of the output lets the last window lie wholly outside where the stride is
larger than the kernel: its maximum is the lowest float and its mask -1, its average 0 / 0 = NaN.

Forward a thread takes a window. Back a thread takes a pixel and looks at each window that can have
seen it: nothing is scattered, so no two threads write to one place.
"""

from typing import Any

import numpy as np

from ._array import DeviceArray
from ._compile.jit import inner, kernel
from ._compile.words import F32, I32, grid

Pair = tuple[int, int]

LOWEST = np.finfo(np.float32).min


def max_forward(
    x: DeviceArray, y: DeviceArray, mask: DeviceArray, kernel: Pair, stride: Pair, pad: Pair
) -> None:
    """Write the maxima into y, and where they are (h * W + w; the first of equals) into mask."""
    _max_forward.over(y.size)(*map(_planes, (x, y, mask)), *_windows(kernel, stride, pad))


def max_backward(
    dy: DeviceArray, mask: DeviceArray, dx: DeviceArray, kernel: Pair, stride: Pair, pad: Pair
) -> None:
    """Overwrite dx: each gradient of dy is added where the maximum was.

    The windows are those of the maxima: they tell a pixel where it may have been one.
    """
    _max_backward.over(dx.size)(*map(_planes, (dy, mask, dx)), *_windows(kernel, stride, pad))


def average_forward(x: DeviceArray, y: DeviceArray, kernel: Pair, stride: Pair, pad: Pair) -> None:
    """Write the averages into y."""
    _average_forward.over(y.size)(*map(_planes, (x, y)), *_windows(kernel, stride, pad))


def average_backward(
    dy: DeviceArray, dx: DeviceArray, kernel: Pair, stride: Pair, pad: Pair
) -> None:
    """Overwrite dx: each gradient of dy is shared among the values of its window."""
    _average_backward.over(dx.size)(*map(_planes, (dy, dx)), *_windows(kernel, stride, pad))


def _planes(maps: DeviceArray) -> DeviceArray:
    return maps.reshape(maps.shape[0] * maps.shape[1], *maps.shape[2:])


def _windows(*pairs: Pair) -> list[Pair]:
    """The pairs as kernels take them."""
    return [(int(h), int(w)) for h, w in pairs]


@kernel
def _max_forward(x: F32, y: F32, mask: I32, window: Pair, stride: Pair, pad: Pair) -> None:
    """x (planes, H, W), y and mask (planes, OH, OW); a thread for each number of y."""
    n, i, j = _place(grid(), y)
    if n < y.shape[0]:
        top, bottom = _inside(i, x.shape[1], window[0], stride[0], pad[0])
        left, right = _inside(j, x.shape[2], window[1], stride[1], pad[1])
        best, where = LOWEST, -1
        for h in range(top, bottom):
            for w in range(left, right):
                if x[n, h, w] > best:
                    best, where = x[n, h, w], h * x.shape[2] + w
        y[n, i, j] = best
        mask[n, i, j] = where


@kernel
def _average_forward(x: F32, y: F32, window: Pair, stride: Pair, pad: Pair) -> None:
    n, i, j = _place(grid(), y)
    if n < y.shape[0]:
        top, bottom = _inside(i, x.shape[1], window[0], stride[0], pad[0])
        left, right = _inside(j, x.shape[2], window[1], stride[1], pad[1])
        total = 0.0
        for h in range(top, bottom):
            for w in range(left, right):
                total += x[n, h, w]
        y[n, i, j] = total / _area(i, j, x, window, stride, pad)


@kernel
def _max_backward(dy: F32, mask: I32, dx: F32, window: Pair, stride: Pair, pad: Pair) -> None:
    """dy and mask (planes, OH, OW), dx (planes, H, W); a thread for each number of dx."""
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
