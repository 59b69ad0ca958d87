"""Convolution with any number of spatial axes: im2col, then a matrix product an image.

    N images, C channels, O outputs, G groups, K = C/G * taps, P = places of the output
    y (O/G, P) = W (O/G, K) @ col (K, P)         for each image and group
    dcol = W.T @ dy                              dW += dy @ col.T

x (N, C, *spatial), weight (O, C/G, *kernel), y (N, O, *out). What filters see is not flipped
(cross-correlation). A deconvolution is the same three products with the roles of x and y swapped.
"""

import math

import numpy as np
from numba import prange
from numpy.typing import NDArray

from ._jit import kernel as compiled
from .gemm import gemm
from .im2col import Extents, col2im, im2col

F32 = NDArray[np.float32]


def scratch_size(
    x_shape: Extents,
    y_shape: Extents,
    kernel: Extents,
    stride: Extents,
    pad: Extents,
    dilation: Extents,
    groups: int,
) -> int:
    """Floats of scratch that the functions below need for images and outputs of these shapes."""
    return x_shape[1] * math.prod(kernel) * math.prod(y_shape[2:])


def forward(
    x: F32, weight: F32, bias: F32 | None, y: F32, scratch: F32,
    kernel: Extents, stride: Extents, pad: Extents, dilation: Extents, groups: int,
) -> None:  # fmt: skip
    """y = W * x + bias."""
    filters = _filters(weight, groups)
    if bias is not None:
        _fill(bias, _flat(y))
    for n in range(x.shape[0]):
        col = _col(x.shape, y.shape, scratch, kernel)
        im2col(x[n : n + 1], col, kernel, stride, pad, dilation)
        for w, c, out in zip(
            filters, _by_group(col[0], groups), _by_group(y[n], groups), strict=True
        ):
            gemm(w, c, out, beta=0 if bias is None else 1)


def backward_data(
    dy: F32, weight: F32, dx: F32, scratch: F32,
    kernel: Extents, stride: Extents, pad: Extents, dilation: Extents, groups: int,
) -> None:  # fmt: skip
    """Overwrite dx with the gradient to the images."""
    filters = _filters(weight, groups)
    for n in range(dx.shape[0]):
        col = _col(dx.shape, dy.shape, scratch, kernel)
        for w, d, c in zip(
            filters, _by_group(dy[n], groups), _by_group(col[0], groups), strict=True
        ):
            gemm(w, d, c, trans_a=True)
        col2im(col, dx[n : n + 1], kernel, stride, pad, dilation)


def backward_weight(
    x: F32, dy: F32, dweight: F32, scratch: F32,
    kernel: Extents, stride: Extents, pad: Extents, dilation: Extents, groups: int,
) -> None:  # fmt: skip
    """Add the gradient to the filters to dweight."""
    filters = _filters(dweight, groups)
    for n in range(x.shape[0]):
        col = _col(x.shape, dy.shape, scratch, kernel)
        im2col(x[n : n + 1], col, kernel, stride, pad, dilation)
        for w, d, c in zip(
            filters, _by_group(dy[n], groups), _by_group(col[0], groups), strict=True
        ):
            gemm(d, c, w, trans_b=True, beta=1)


def backward_bias(dy: F32, dbias: F32) -> None:
    """Add the sums of dy (N, O, *out) over images and places to dbias (O)."""
    _add_sums(_flat(dy), dbias)


def add_bias(bias: F32, y: F32) -> None:
    """Add bias (O) to every place of y (N, O, *out)."""
    _add_bias(bias, _flat(y))


def _flat(maps: F32) -> F32:
    """(N, O, *out) -> (N, O, P), N = 0 too."""
    return maps.reshape(*maps.shape[:2], math.prod(maps.shape[2:]))


def _filters(weight: F32, groups: int) -> F32:
    """(O, C/G, *kernel) -> (G, O/G, K)."""
    return weight.reshape(groups, weight.shape[0] // groups, -1)


def _col(x_shape: Extents, y_shape: Extents, scratch: F32, kernel: Extents) -> F32:
    """The part of the scratch that holds one image's columns, (1, C * taps, *out)."""
    rows, places = x_shape[1] * math.prod(kernel), y_shape[2:]
    return scratch[: rows * math.prod(places)].reshape(1, rows, *places)


def _by_group(maps: F32, groups: int) -> F32:
    """One image's maps or columns (channels, *out) -> (G, channels/G, P)."""
    return maps.reshape(groups, maps.shape[0] // groups, -1)


@compiled
def _fill(bias: F32, y: F32) -> None:
    images, outputs, places = y.shape
    for plane in prange(images * outputs):
        n, o = plane // outputs, plane % outputs
        for p in range(places):
            y[n, o, p] = bias[o]


@compiled
def _add_bias(bias: F32, y: F32) -> None:
    images, outputs, places = y.shape
    for plane in prange(images * outputs):
        n, o = plane // outputs, plane % outputs
        for p in range(places):
            y[n, o, p] += bias[o]


@compiled
def _add_sums(dy: F32, dbias: F32) -> None:
    images, outputs, places = dy.shape
    for o in prange(outputs):
        total = np.float32(0)
        for n in range(images):
            plane = np.float32(0)
            for p in range(places):
                plane += dy[n, o, p]
            total += plane
        dbias[o] += total
