"""Convolution with any number of spatial axes: im2col, then a matrix product an image.

    y (O/G, P) = W (O/G, K) @ col (K, P)         for each image and group
    dcol = W.T @ dy                              dW += dy @ col.T

The legend stands in __init__.py. The columns of an image are written and read once more than the
convolution itself needs, which for few outputs costs as much as the product.
"""

import math

import numpy as np
from numba import prange
from numpy.typing import NDArray

from .._compile.jit import kernel
from ..gemm import gemm
from ..im2col import col2im, im2col
from .plan import Plan

F32 = NDArray[np.float32]


def scratch_size(plan: Plan) -> int:
    """Floats of scratch: the columns of an image."""
    return plan.x_shape[1] * math.prod(plan.window[0]) * math.prod(plan.y_shape[2:])


def forward(
    plan: Plan, x: F32, weight: F32, bias: F32, y: F32, scratch: F32, kept: bool | None = None
) -> None:
    """y = W * x + bias."""
    _fill(bias, y.reshape(*y.shape[:2], math.prod(y.shape[2:])))
    filters, col = _filters(plan, weight), _col(plan, scratch)
    for n in range(x.shape[0]):
        im2col(x[n : n + 1], col, *plan.window)
        columns, outputs = _by_group(plan, col[0]), _by_group(plan, y[n])
        for g in range(plan.groups):
            gemm(filters[g], columns[g], outputs[g], beta=1)


def backward_data(
    plan: Plan, dy: F32, weight: F32, dx: F32, scratch: F32, kept: bool | None = None
) -> None:
    """Overwrite dx."""
    filters, col = _filters(plan, weight), _col(plan, scratch)
    for n in range(dx.shape[0]):
        columns, gradients = _by_group(plan, col[0]), _by_group(plan, dy[n])
        for g in range(plan.groups):
            gemm(filters[g], gradients[g], columns[g], trans_a=True)
        col2im(col, dx[n : n + 1], *plan.window)


def backward_weight(plan: Plan, x: F32, dy: F32, dweight: F32, scratch: F32) -> None:
    """Add to dweight."""
    filters, col = _filters(plan, dweight), _col(plan, scratch)
    for n in range(x.shape[0]):
        im2col(x[n : n + 1], col, *plan.window)
        columns, gradients = _by_group(plan, col[0]), _by_group(plan, dy[n])
        for g in range(plan.groups):
            gemm(gradients[g], columns[g], filters[g], trans_b=True, beta=1)


def _filters(plan: Plan, weight: F32) -> F32:
    """(O, C/G, *kernel) -> (G, O/G, K)."""
    return weight.reshape(plan.groups, weight.shape[0] // plan.groups, -1)


def _col(plan: Plan, scratch: F32) -> F32:
    """The part of the scratch that holds one image's columns, (1, C * taps, *out)."""
    rows = plan.x_shape[1] * math.prod(plan.window[0])
    return scratch[: scratch_size(plan)].reshape(1, rows, *plan.y_shape[2:])


def _by_group(plan: Plan, maps: F32) -> F32:
    """One image's maps or columns (channels, *out) -> (G, channels/G, P)."""
    return maps.reshape(plan.groups, maps.shape[0] // plan.groups, -1)


@kernel
def _fill(bias: F32, y: F32) -> None:
    images, outputs, pixels = y.shape
    for plane in prange(images * outputs):
        n, o = plane // outputs, plane % outputs
        for p in range(pixels):
            y[n, o, p] = bias[o]
