"""Convolution with any number of spatial axes.

    N images, C channels, O outputs, G groups, K = C/G * taps, P = pixels of the output
    y (O/G, P) = W (O/G, K) @ col (K, P)         for each image and group
    dcol = W.T @ dy                              dW += dy @ col.T

x (N, C, *spatial), weight (O, C/G, *kernel), y (N, O, *out). What filters see is not flipped
(cross-correlation). A deconvolution is the same three products with the roles of x and y swapped.
Each product is 2 N O P K operations. None of the ways below writes `col` out, but `any_axes`.

A layer asks for a `plan` when it is reshaped, which finds the way that serves each product best
(choice.py), and hands it to the functions below at every call. A way is a file of this folder, all
with the same functions.
"""

import math
from functools import lru_cache
from typing import Any

import numpy as np
from numba import prange
from numpy.typing import NDArray

from .._compile.jit import kernel as compiled
from ..im2col import Extents
from . import any_axes, choice, depthwise, direct, dot_products, images_in_lanes, pointwise
from .plan import DATA, FORWARD, WEIGHT, Plan, Way, Window, sizes_of
from .winograd import channels, images, lines

F32 = NDArray[np.float32]

WAYS: dict[str, Any] = {
    choice.DIRECT: direct,
    choice.POINTWISE: pointwise,
    choice.DEPTHWISE: depthwise,
    choice.DOT_PRODUCTS: dot_products,
    choice.IMAGES_IN_LANES: images_in_lanes,
    choice.LINES: lines,
    choice.IMAGES: images,
    choice.CHANNELS: channels,
    choice.ANY_AXES: any_axes,
}


def plan(
    x_shape: Extents, y_shape: Extents, kernel: Extents, stride: Extents, pad: Extents,
    dilation: Extents, groups: int, keeps: bool = False,
) -> Plan:  # fmt: skip
    """How to convolve images of these shapes; `kernel` and so on have a number a spatial axis.

    With `keeps`, for many calls of one function with the same filters, which it may keep.
    """
    window = (kernel, stride, pad, dilation)
    return _plan(x_shape, y_shape, window, groups, choice.allowed(), keeps)


@lru_cache(maxsize=256)
def _plan(
    x_shape: Extents, y_shape: Extents, window: Window, groups: int, filterings: tuple[int, ...],
    keeps: bool,
) -> Plan:  # fmt: skip
    if len(window[0]) > 2:
        return Plan(x_shape, y_shape, window, groups, (Way(choice.ANY_AXES),) * 3)
    sizes = sizes_of(x_shape, y_shape, window, groups)
    forward, data, weight = (
        choice.decide(sizes, product, filterings, kept=keeps and product != WEIGHT)
        for product in (FORWARD, DATA, WEIGHT)
    )
    return Plan(x_shape, y_shape, window, groups, (forward, data, weight))


def scratch_size(plan: Plan, keeps: bool = False) -> int:
    """Floats of scratch that the functions below need, on the present number of threads.

    With `keeps`, also for filters that are kept in it (`forward`).
    """
    size: int = max(WAYS[way.file].scratch_size(plan) for way in plan.ways)
    for product in (FORWARD, DATA) if keeps else ():
        if plan.ways[product].filtering >= 0:
            size = max(size, lines.filters_size(plan, product))
    return size


def ways(plan: Plan) -> tuple[str, str, str]:
    """How forward, backward to the images and backward to the weights are done, in words."""
    forward, data, weight = plan.ways
    return str(forward), str(data), str(weight)


def reasons(plan: Plan, kept: bool = False) -> tuple[str, str, str]:
    """Why these ways, in words; `kept`: where filters are kept from call to call."""
    if len(plan.window[0]) > 2:
        return ("for more than two spatial axes",) * 3
    forward, data, weight = (
        choice.reason(way, plan.sizes, product, kept and product != WEIGHT)
        for product, way in zip((FORWARD, DATA, WEIGHT), plan.ways, strict=True)
    )
    return forward, data, weight


def forward(
    plan: Plan, x: F32, weight: F32, bias: F32 | None, y: F32, scratch: F32,
    kept: bool | None = None,
) -> None:  # fmt: skip
    """y = W * x + bias.

    Filters are put into the order in which they are read, or transformed; for one image that may
    take longer than all else. So the caller can have them kept in the scratch, which must then be
    large enough (`scratch_size`): False leaves them there, True finds them there, which is for
    calls that follow such a one, with the same plan, function, scratch, weight and bias. With None
    nothing is kept, and scratch means nothing afterwards.
    """
    if bias is None:
        bias = np.zeros(y.shape[1], np.float32)
    WAYS[plan.ways[FORWARD].file].forward(plan, x, weight, bias, y, scratch, kept)


def backward_data(
    plan: Plan, dy: F32, weight: F32, dx: F32, scratch: F32, kept: bool | None = None
) -> None:
    """Overwrite dx with the gradient to the images; `kept` is as in `forward`."""
    WAYS[plan.ways[DATA].file].backward_data(plan, dy, weight, dx, scratch, kept)


def backward_weight(plan: Plan, x: F32, dy: F32, dweight: F32, scratch: F32) -> None:
    """Add the gradient to the filters to dweight."""
    WAYS[plan.ways[WEIGHT].file].backward_weight(plan, x, dy, dweight, scratch)


def backward_bias(dy: F32, dbias: F32) -> None:
    """Add the sums of dy (N, O, *out) over images and pixels to dbias (O)."""
    _add_sums(_maps(dy), dbias)


def add_bias(bias: F32, y: F32) -> None:
    """Add bias (O) to every pixel of y (N, O, *out)."""
    _add_bias(bias, _maps(y))


def _maps(y: F32) -> F32:
    """(N, O, *out) -> (N, O, P)."""
    return y.reshape(*y.shape[:2], math.prod(y.shape[2:]))


@compiled
def _add_bias(bias: F32, y: F32) -> None:
    images, outputs, pixels = y.shape
    for plane in prange(images * outputs):
        n, o = plane // outputs, plane % outputs
        for p in range(pixels):
            y[n, o, p] += bias[o]


@compiled
def _add_sums(dy: F32, dbias: F32) -> None:
    images, outputs, pixels = dy.shape
    for o in prange(outputs):
        total = np.float32(0)
        for n in range(images):
            plane = np.float32(0)
            for p in range(pixels):
                plane += dy[n, o, p]
            total += plane
        dbias[o] += total
