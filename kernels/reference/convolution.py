"""Convolution with any number of spatial axes, Caffe's way: im2col, then a matrix product an image.

    N images, C channels, O outputs, G groups, K = C/G * taps, P = pixels of the output
    y (O/G, P) = W (O/G, K) @ col (K, P)         for each image and group
    dcol = W.T @ dy                              dW += dy @ col.T

x (N, C, *spatial), weight (O, C/G, *kernel), y (N, O, *out). What filters see is not flipped
(cross-correlation). A deconvolution is the same three products with the roles of x and y swapped.
"""

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from .im2col import Extents, col2im, im2col

F32 = NDArray[np.float32]


@dataclass(frozen=True)
class Plan:
    """A convolution of images (N, C, *spatial) with outputs (N, O, *out)."""

    x_shape: Extents
    y_shape: Extents
    window: tuple[Extents, Extents, Extents, Extents]  # kernel, stride, pad, dilation
    groups: int

    @property
    def rows(self) -> int:
        """Rows of the columns: C * taps."""
        return self.x_shape[1] * math.prod(self.window[0])


def plan(
    x_shape: Extents, y_shape: Extents, kernel: Extents, stride: Extents, pad: Extents,
    dilation: Extents, groups: int, keeps: bool = False,
) -> Plan:  # fmt: skip
    """How to convolve images of these shapes; `kernel` and so on have a number a spatial axis."""
    return Plan(x_shape, y_shape, (kernel, stride, pad, dilation), groups)


def scratch_size(plan: Plan, keeps: bool = False) -> int:
    """Floats of scratch that the functions below need: the columns of an image."""
    return plan.rows * math.prod(plan.y_shape[2:])


def ways(plan: Plan) -> tuple[str, str, str]:
    """How forward, backward to the images and backward to the weights are done, in words."""
    return "im2col", "im2col", "im2col"


def reasons(plan: Plan, kept: bool = False) -> tuple[str, str, str]:
    """Why these ways, in words."""
    return ("the only one",) * 3


@np.errstate(all="ignore")
def forward(
    plan: Plan, x: F32, weight: F32, bias: F32 | None, y: F32, scratch: F32,
    kept: bool | None = None,
) -> None:  # fmt: skip
    """y = W * x + bias. Filters are read as they are: nothing is kept."""
    filters, col = _filters(plan, weight), _col(plan, scratch)
    for n in range(x.shape[0]):
        im2col(x[n : n + 1], col, *plan.window)
        y[n] = (filters @ _by_group(plan, col[0])).reshape(y.shape[1:])
    if bias is not None:
        add_bias(bias, y)


@np.errstate(all="ignore")
def backward_data(
    plan: Plan, dy: F32, weight: F32, dx: F32, scratch: F32, kept: bool | None = None
) -> None:
    """Overwrite dx with the gradient to the images."""
    filters, col = _filters(plan, weight), _col(plan, scratch)
    for n in range(dx.shape[0]):
        columns, gradients = _by_group(plan, col[0]), _by_group(plan, dy[n])
        columns[...] = filters.transpose(0, 2, 1) @ gradients
        col2im(col, dx[n : n + 1], *plan.window)


@np.errstate(all="ignore")
def backward_weight(plan: Plan, x: F32, dy: F32, dweight: F32, scratch: F32) -> None:
    """Add the gradient to the filters to dweight."""
    filters, col = _filters(plan, dweight), _col(plan, scratch)
    for n in range(x.shape[0]):
        im2col(x[n : n + 1], col, *plan.window)
        columns, gradients = _by_group(plan, col[0]), _by_group(plan, dy[n])
        filters += gradients @ columns.transpose(0, 2, 1)


@np.errstate(all="ignore")
def backward_bias(dy: F32, dbias: F32) -> None:
    """Add the sums of dy (N, O, *out) over images and pixels to dbias (O)."""
    dbias += dy.sum(axis=(0, *range(2, dy.ndim)))


@np.errstate(all="ignore")
def add_bias(bias: F32, y: F32) -> None:
    """Add bias (O) to every pixel of y (N, O, *out)."""
    y += bias.reshape(-1, *(1,) * (y.ndim - 2))


def _filters(plan: Plan, weight: F32) -> F32:
    """(O, C/G, *kernel) -> (G, O/G, K)."""
    return weight.reshape(plan.groups, weight.shape[0] // plan.groups, -1)


def _col(plan: Plan, scratch: F32) -> F32:
    """The part of the scratch that holds one image's columns, (1, C * taps, *out)."""
    return scratch[: scratch_size(plan)].reshape(1, plan.rows, *plan.y_shape[2:])


def _by_group(plan: Plan, maps: F32) -> F32:
    """One image's maps or columns (channels, *out) -> (G, channels/G, P)."""
    return maps.reshape(plan.groups, maps.shape[0] // plan.groups, -1)
