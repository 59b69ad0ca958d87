"""Convolution by three ways with one contract: the door of the family, given.

    N images, C channels, O outputs, G groups, K = C/G * taps, P = pixels of the output
    y (N, O, *out) = W (O, C/G, *kernel) * x (N, C, *spatial) + bias (O)

A way is a module that has, for images of one or two spatial axes,

    serves(sizes)                                        whether it can do a convolution
    scratch_size(plan)                                   floats of scratch that it needs
    forward(plan, x, weight, bias, y, scratch)           overwrite y
    backward_data(plan, dy, weight, dx, scratch)         overwrite dx
    backward_weight(plan, x, dy, dweight, scratch)       add to dweight

and ORDER says which is asked first. A plan is made when a layer is reshaped; `minicaffe time`
prints what it says. Images of more axes go the product's way, any_axes.
"""

import math
from typing import Any

import numpy as np
from numba import prange
from numpy.typing import NDArray

from .._compile.jit import kernel as compiled
from ..im2col import Extents
from . import _direct, _unfolded, _winograd, any_axes
from .plan import Plan, Way, sizes_of

F32 = NDArray[np.float32]

WAYS: dict[str, Any] = {
    "direct": _direct,
    "unfolded": _unfolded,
    "winograd": _winograd,
    "any_axes": any_axes,
}
ORDER = ("winograd", "unfolded", "direct")  # yours to change: the first that serves is taken


def plan(
    x_shape: Extents, y_shape: Extents, kernel: Extents, stride: Extents, pad: Extents,
    dilation: Extents, groups: int, keeps: bool = False,
) -> Plan:  # fmt: skip
    """How to convolve images of these shapes; `kernel` and so on have a number a spatial axis."""
    window = (kernel, stride, pad, dilation)
    name = "any_axes"
    if len(kernel) <= 2:
        sizes = sizes_of(x_shape, y_shape, window, groups)
        name = next(way for way in ORDER if WAYS[way].serves(sizes))
    return Plan(x_shape, y_shape, window, groups, (Way(name),) * 3)


def scratch_size(plan: Plan, keeps: bool = False) -> int:
    """Floats of scratch that the functions below need."""
    size: int = _way(plan).scratch_size(plan)
    return size


def ways(plan: Plan) -> tuple[str, str, str]:
    """How forward, backward to the images and backward to the weights are done, in words."""
    forward, data, weight = plan.ways
    return str(forward), str(data), str(weight)


def forward(
    plan: Plan, x: F32, weight: F32, bias: F32 | None, y: F32, scratch: F32,
    kept: bool | None = None,
) -> None:  # fmt: skip
    """y = W * x + bias. Filters are read at each call: nothing is kept."""
    if bias is None:
        bias = np.zeros(y.shape[1], np.float32)
    _way(plan).forward(plan, x, weight, bias, y, scratch)


def backward_data(
    plan: Plan, dy: F32, weight: F32, dx: F32, scratch: F32, kept: bool | None = None
) -> None:
    """Overwrite dx with the gradient to the images."""
    _way(plan).backward_data(plan, dy, weight, dx, scratch)


def backward_weight(plan: Plan, x: F32, dy: F32, dweight: F32, scratch: F32) -> None:
    """Add the gradient to the filters to dweight."""
    _way(plan).backward_weight(plan, x, dy, dweight, scratch)


def backward_bias(dy: F32, dbias: F32) -> None:
    """Add the sums of dy (N, O, *out) over images and pixels to dbias (O)."""
    _add_sums(_maps(dy), dbias)


def add_bias(bias: F32, y: F32) -> None:
    """Add bias (O) to every pixel of y (N, O, *out)."""
    _add_bias(bias, _maps(y))


def _way(plan: Plan) -> Any:
    return WAYS[plan.ways[0].file]


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
        for n in range(images):
            plane = np.float32(0)
            for p in range(pixels):
                plane += dy[n, o, p]
            dbias[o] += plane
