"""Convolution by its definition: seven loops, 2 N O P K operations, no scratch.

    y[n, o, i, j] = bias[o] + sum over c, r, t of  x[n, c, row, column] W[o, c, r, t]
    row = stride_h i + dilation_h r - pad_h,    column = stride_w j + dilation_w t - pad_w

Outside of the image x is 0: such taps are left out. With groups, output o sees the channels of its
group only: `channels` of them, from o // outputs * channels on. All numbers are in `s`, a `Sizes`
(plan.py), whose channels and outputs are those of one group.
"""

import numpy as np
from numba import prange
from numpy.typing import NDArray

from .._compile.jit import kernel
from .plan import Plan, Sizes

F32 = NDArray[np.float32]


def serves(sizes: Sizes) -> bool:
    """Every convolution."""
    return True


def scratch_size(plan: Plan) -> int:
    """Nothing is put aside."""
    return 0


def forward(plan: Plan, x: F32, weight: F32, bias: F32, y: F32, scratch: F32) -> None:
    """y = W * x + bias."""
    s = plan.sizes
    _forward(s, images(s, x), filters(s, weight), bias, outputs(s, y))


def backward_data(plan: Plan, dy: F32, weight: F32, dx: F32, scratch: F32) -> None:
    """Overwrite dx with the gradient to the images."""
    s = plan.sizes
    _backward_data(s, outputs(s, dy), filters(s, weight), images(s, dx))


def backward_weight(plan: Plan, x: F32, dy: F32, dweight: F32, scratch: F32) -> None:
    """Add the gradient to the filters to dweight."""
    s = plan.sizes
    _backward_weight(s, images(s, x), outputs(s, dy), filters(s, dweight))


def images(s: Sizes, x: F32) -> F32:
    """(N, C, *spatial) -> (N, C, H, W)."""
    return x.reshape(s.images, s.groups * s.channels, s.height, s.width)


def outputs(s: Sizes, y: F32) -> F32:
    """(N, O, *out) -> (N, O, H', W')."""
    return y.reshape(s.images, s.groups * s.outputs, s.out_height, s.out_width)


def filters(s: Sizes, weight: F32) -> F32:
    """(O, C/G, *kernel) -> (O, C/G, kernel_h, kernel_w)."""
    return weight.reshape(s.groups * s.outputs, s.channels, s.kernel_h, s.kernel_w)


@kernel
def _forward(s: Sizes, x: F32, weight: F32, bias: F32, y: F32) -> None:
    """Overwrite y (N, O, H', W'); x (N, C, H, W), weight (O, C/G, kernel_h, kernel_w), bias (O)."""
    planes = s.groups * s.outputs
    for plane in prange(s.images * planes):
        n, o = plane // planes, plane % planes
        first = o // s.outputs * s.channels
        for i in range(s.out_height):
            for j in range(s.out_width):
                total = bias[o]
                for c in range(s.channels):
                    for r in range(s.kernel_h):
                        row = s.stride_h * i + s.dilation_h * r - s.pad_h
                        if 0 <= row < s.height:
                            for t in range(s.kernel_w):
                                column = s.stride_w * j + s.dilation_w * t - s.pad_w
                                if 0 <= column < s.width:
                                    total += x[n, first + c, row, column] * weight[o, c, r, t]
                y[n, o, i, j] = total


@kernel
def _backward_data(s: Sizes, dy: F32, weight: F32, dx: F32) -> None:
    """Overwrite dx: each output gives its gradient, times the weight, to each pixel it has seen.

    A turn of the outer loop has a plane of dx to itself.
    """
    planes = s.groups * s.channels
    for plane in prange(s.images * planes):
        n, channel = plane // planes, plane % planes
        group, c = channel // s.channels, channel % s.channels
        dx[n, channel] = 0
        for o in range(group * s.outputs, (group + 1) * s.outputs):
            for i in range(s.out_height):
                for r in range(s.kernel_h):
                    row = s.stride_h * i + s.dilation_h * r - s.pad_h
                    if 0 <= row < s.height:
                        for j in range(s.out_width):
                            for t in range(s.kernel_w):
                                column = s.stride_w * j + s.dilation_w * t - s.pad_w
                                if 0 <= column < s.width:
                                    gradient = dy[n, o, i, j] * weight[o, c, r, t]
                                    dx[n, channel, row, column] += gradient


@kernel
def _backward_weight(s: Sizes, x: F32, dy: F32, dweight: F32) -> None:
    """Add to dweight: for each tap, the sum over images and outputs of dy times what it has seen.

    A turn of the outer loop has a filter to itself.
    """
    for o in prange(s.groups * s.outputs):
        first = o // s.outputs * s.channels
        for c in range(s.channels):
            for r in range(s.kernel_h):
                for t in range(s.kernel_w):
                    total = np.float32(0)
                    for n in range(s.images):
                        for i in range(s.out_height):
                            row = s.stride_h * i + s.dilation_h * r - s.pad_h
                            if 0 <= row < s.height:
                                for j in range(s.out_width):
                                    column = s.stride_w * j + s.dilation_w * t - s.pad_w
                                    if 0 <= column < s.width:
                                        total += dy[n, o, i, j] * x[n, first + c, row, column]
                    dweight[o, c, r, t] += total
