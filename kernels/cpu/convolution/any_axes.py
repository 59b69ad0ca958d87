"""Convolution with any number of spatial axes: im2col, then a matrix product an image.

    y (O/G, P) = W (O/G, K) @ col (K, P)         for each image and group
    dcol = W.T @ dy                              dW += dy @ col.T

The legend stands in convolution.py. The columns of an image are written and read once more than
the convolution itself needs, which for few outputs costs as much as the product.
"""

import math

import numpy as np
from numpy.typing import NDArray

from ..gemm import gemm
from ..im2col import Extents, col2im, im2col

F32 = NDArray[np.float32]
Window = tuple[Extents, Extents, Extents, Extents]  # kernel, stride, pad, dilation


def scratch_size(x_shape: Extents, y_shape: Extents, window: Window) -> int:
    """Floats of scratch: the columns of an image."""
    return x_shape[1] * math.prod(window[0]) * math.prod(y_shape[2:])


def forward(x: F32, weight: F32, y: F32, scratch: F32, window: Window, groups: int) -> None:
    """Add W * x to y."""
    filters = _filters(weight, groups)
    col = _col(x.shape, y.shape, scratch, window)
    for n in range(x.shape[0]):
        im2col(x[n : n + 1], col, *window)
        columns, outputs = _by_group(col[0], groups), _by_group(y[n], groups)
        for g in range(groups):
            gemm(filters[g], columns[g], outputs[g], beta=1)


def backward_data(dy: F32, weight: F32, dx: F32, scratch: F32, window: Window, groups: int) -> None:
    """Overwrite dx."""
    filters = _filters(weight, groups)
    col = _col(dx.shape, dy.shape, scratch, window)
    for n in range(dx.shape[0]):
        columns, gradients = _by_group(col[0], groups), _by_group(dy[n], groups)
        for g in range(groups):
            gemm(filters[g], gradients[g], columns[g], trans_a=True)
        col2im(col, dx[n : n + 1], *window)


def backward_weight(
    x: F32, dy: F32, dweight: F32, scratch: F32, window: Window, groups: int
) -> None:
    """Add to dweight."""
    filters = _filters(dweight, groups)
    col = _col(x.shape, dy.shape, scratch, window)
    for n in range(x.shape[0]):
        im2col(x[n : n + 1], col, *window)
        columns, gradients = _by_group(col[0], groups), _by_group(dy[n], groups)
        for g in range(groups):
            gemm(gradients[g], columns[g], filters[g], trans_b=True, beta=1)


def _filters(weight: F32, groups: int) -> F32:
    """(O, C/G, *kernel) -> (G, O/G, K)."""
    return weight.reshape(groups, weight.shape[0] // groups, -1)


def _col(x_shape: Extents, y_shape: Extents, scratch: F32, window: Window) -> F32:
    """The part of the scratch that holds one image's columns, (1, C * taps, *out)."""
    size = scratch_size(x_shape, y_shape, window)
    return scratch[:size].reshape(1, x_shape[1] * math.prod(window[0]), *y_shape[2:])


def _by_group(maps: F32, groups: int) -> F32:
    """One image's maps or columns (channels, *out) -> (G, channels/G, P)."""
    return maps.reshape(groups, maps.shape[0] // groups, -1)
