"""Pooling: the maximum or the average of windows of an image; x (N, C, H, W), y (N, C, OH, OW).

The window of output (i, j) begins at (i * stride_h - pad_h, j * stride_w - pad_w). What lies
outside of the image does not count for the maximum. For the average the sum is that of the values
inside of the image, and the divisor the area of the window within the padded image
(so padding counts as zeros, and what lies beyond it does not count at all).

Caffe's rule for the size of the output lets the last window lie wholly outside where the stride is
larger than the kernel: its maximum is the lowest float and its mask -1, its average 0 / 0 = NaN.
"""

from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

F32 = NDArray[np.float32]
I32 = NDArray[np.int32]
Pair = tuple[int, int]

LOWEST = np.finfo(np.float32).min


def max_forward(x: F32, y: F32, mask: I32, kernel: Pair, stride: Pair, pad: Pair) -> None:
    """Write the maxima into y, and where they are (h * W + w; the first of equals) into mask."""
    images, channels, _, width = x.shape
    for i, j, rows, columns, _ in _windows(x, y, kernel, stride, pad):
        seen = x[:, :, rows, columns]
        if seen.size == 0:
            y[:, :, i, j] = LOWEST
            mask[:, :, i, j] = -1
            continue
        flat = seen.reshape(images, channels, -1)
        # Only a value that is greater than the lowest float is a candidate: NaN is not.
        candidates = np.where(flat > LOWEST, flat, LOWEST)
        best = candidates.argmax(axis=2)
        wide = seen.shape[3]
        where = (rows.start + best // wide) * width + columns.start + best % wide
        maxima = candidates.max(axis=2)
        y[:, :, i, j] = maxima
        mask[:, :, i, j] = np.where(maxima > LOWEST, where, -1)


def max_backward(dy: F32, mask: I32, dx: F32, kernel: Pair, stride: Pair, pad: Pair) -> None:
    """Overwrite dx: each gradient of dy is added where the maximum was.

    The windows are those of the maxima: a device that gathers looks there, this one need not.
    """
    planes = dx.shape[0] * dx.shape[1]
    count = dy.shape[2] * dy.shape[3]
    gradients, pixels = dy.reshape(planes, count), mask.reshape(planes, count)
    out = dx.reshape(planes, dx.shape[2] * dx.shape[3])
    out[...] = 0
    for plane in range(planes):
        found = pixels[plane] >= 0
        np.add.at(out[plane], pixels[plane][found], gradients[plane][found])


def average_forward(x: F32, y: F32, kernel: Pair, stride: Pair, pad: Pair) -> None:
    """Write the averages into y."""
    for i, j, rows, columns, area in _windows(x, y, kernel, stride, pad):
        with np.errstate(invalid="ignore", divide="ignore"):
            y[:, :, i, j] = x[:, :, rows, columns].sum(axis=(2, 3)) / np.float32(area)


def average_backward(dy: F32, dx: F32, kernel: Pair, stride: Pair, pad: Pair) -> None:
    """Overwrite dx: each gradient of dy is shared among the values of its window."""
    dx[...] = 0
    for i, j, rows, columns, area in _windows(dx, dy, kernel, stride, pad):
        if area != 0:
            dx[:, :, rows, columns] += (dy[:, :, i, j] / np.float32(area))[:, :, None, None]


def _windows(
    x: F32, y: F32, kernel: Pair, stride: Pair, pad: Pair
) -> Iterator[tuple[int, int, slice, slice, int]]:
    """Every output (i, j): the part of the image it sees, the area it averages."""
    for i in range(y.shape[2]):
        rows, high = _extent(i, x.shape[2], kernel[0], stride[0], pad[0])
        for j in range(y.shape[3]):
            columns, wide = _extent(j, x.shape[3], kernel[1], stride[1], pad[1])
            yield i, j, rows, columns, high * wide


def _extent(output: int, size: int, kernel: int, stride: int, pad: int) -> tuple[slice, int]:
    start = output * stride - pad
    end = min(start + kernel, size + pad)
    inside = slice(min(max(start, 0), size), max(min(end, size), 0))
    return inside, end - start
