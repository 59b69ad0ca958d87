"""Pooling: the maximum or the average of windows of an image; x (N, C, H, W), y (N, C, OH, OW).

The window of output (i, j) begins at (i * stride_h - pad_h, j * stride_w - pad_w). What lies
outside of the image does not count for the maximum. For the average the sum is that of the values
inside of the image, and the divisor the area of the window within the padded image
(so padding counts as zeros, and what lies beyond it does not count at all).

Caffe's rule for the size of the output lets the last window lie wholly outside where the stride is
larger than the kernel: its maximum is the lowest float and its mask -1, its average 0 / 0 = NaN.

A plane at a time, and in it a row of outputs at a time; one comparison or addition a tap and
output. The maximum and its place stay in registers while a window is read. The average goes tap by
tap over the whole row, a loop that becomes vector code.
"""

from typing import Any

import numpy as np
from numba import prange
from numpy.typing import NDArray

from ._jit import inner, kernel
from .im2col import places_inside

F32 = NDArray[np.float32]
I32 = NDArray[np.int32]
Pair = tuple[int, int]

LOWEST = np.finfo(np.float32).min


def max_forward(x: F32, y: F32, mask: I32, kernel: Pair, stride: Pair, pad: Pair) -> None:
    """Write the maxima into y, and where they are (h * W + w; the first of equals) into mask."""
    _max_forward(_planes(x), _planes(y), _planes(mask), *kernel, *stride, *pad)


def max_backward(dy: F32, mask: I32, dx: F32) -> None:
    """Overwrite dx: each gradient of dy is added where the maximum was."""
    planes = dx.shape[0] * dx.shape[1]
    places, pixels = dy.shape[2] * dy.shape[3], dx.shape[2] * dx.shape[3]
    _max_backward(
        dy.reshape(planes, places), mask.reshape(planes, places), dx.reshape(planes, pixels)
    )


def average_forward(x: F32, y: F32, kernel: Pair, stride: Pair, pad: Pair) -> None:
    """Write the averages into y."""
    _average_forward(_planes(x), _planes(y), *kernel, *stride, *pad)


def average_backward(dy: F32, dx: F32, kernel: Pair, stride: Pair, pad: Pair) -> None:
    """Overwrite dx: each gradient of dy is shared among the values of its window."""
    _average_backward(_planes(dy), _planes(dx), *kernel, *stride, *pad)


def _planes(maps: NDArray[Any]) -> NDArray[Any]:
    """(N, C, H, W) -> (N * C, H, W)."""
    return maps.reshape(-1, *maps.shape[2:])


@kernel
def _max_forward(
    x: F32, y: F32, mask: I32,
    kernel_h: int, kernel_w: int, stride_h: int, stride_w: int, pad_h: int, pad_w: int,
) -> None:  # fmt: skip
    planes, height, width = x.shape
    _, out_height, out_width = y.shape
    for plane in prange(planes):
        for i in range(out_height):
            top = i * stride_h - pad_h
            rows = range(max(top, 0), min(top + kernel_h, height))
            for j in range(out_width):
                left = j * stride_w - pad_w
                greatest, place = LOWEST, -1
                for h in rows:
                    for w in range(max(left, 0), min(left + kernel_w, width)):
                        if x[plane, h, w] > greatest:
                            greatest, place = x[plane, h, w], h * width + w
                y[plane, i, j], mask[plane, i, j] = greatest, place


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


@kernel
def _average_forward(
    x: F32, y: F32,
    kernel_h: int, kernel_w: int, stride_h: int, stride_w: int, pad_h: int, pad_w: int,
) -> None:  # fmt: skip
    planes, height, width = x.shape
    _, out_height, out_width = y.shape
    for plane in prange(planes):
        for i in range(out_height):
            for j in range(out_width):
                y[plane, i, j] = 0
            top = i * stride_h - pad_h
            for h in range(max(top, 0), min(top + kernel_h, height)):
                for tap in range(kernel_w):
                    shift = tap - pad_w
                    first, last = places_inside(shift, stride_w, width, out_width)
                    for j in range(first, last):
                        y[plane, i, j] += x[plane, h, j * stride_w + shift]
            high = _overlap(i, height, kernel_h, stride_h, pad_h)
            for j in range(out_width):
                wide = _overlap(j, width, kernel_w, stride_w, pad_w)
                y[plane, i, j] /= np.float32(high * wide)


@kernel
def _average_backward(
    dy: F32, dx: F32,
    kernel_h: int, kernel_w: int, stride_h: int, stride_w: int, pad_h: int, pad_w: int,
) -> None:  # fmt: skip
    planes, height, width = dx.shape
    _, out_height, out_width = dy.shape
    for plane in prange(planes):
        for h in range(height):
            for w in range(width):
                dx[plane, h, w] = 0
        for i in range(out_height):
            high = _overlap(i, height, kernel_h, stride_h, pad_h)
            top = i * stride_h - pad_h
            for h in range(max(top, 0), min(top + kernel_h, height)):
                for tap in range(kernel_w):
                    shift = tap - pad_w
                    first, last = places_inside(shift, stride_w, width, out_width)
                    for j in range(first, last):
                        wide = _overlap(j, width, kernel_w, stride_w, pad_w)
                        dx[plane, h, j * stride_w + shift] += dy[plane, i, j] / np.float32(
                            high * wide
                        )
