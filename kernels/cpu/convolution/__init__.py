"""Convolution with any number of spatial axes.

    N images, C channels, O outputs, G groups, K = C/G * taps, P = places of the output
    y (O/G, P) = W (O/G, K) @ col (K, P)         for each image and group
    dcol = W.T @ dy                              dW += dy @ col.T

x (N, C, *spatial), weight (O, C/G, *kernel), y (N, O, *out). What filters see is not flipped
(cross-correlation). A deconvolution is the same three products with the roles of x and y swapped.
Each product is 2 N O P K operations. Images of up to two axes go through `direct.py`, which never
writes `col` out; or where groups are tiny through `depthwise.py`; or where filters are 1 x 1
through `pointwise.py`; or with far fewer multiplications through `winograd/lines.py`, where filters
are 3 x 3 or 5 x 5, stride is 1, and there are enough channels; or where planes are small or taps
few through the files that `choice.py` names. Images of more axes go through `any_axes.py`, which
writes `col`.
"""

from typing import Any

import numpy as np
from numba import prange
from numpy.typing import NDArray

from .. import relu
from .._compile.jit import kernel as compiled
from ..im2col import Extents
from . import any_axes as deep
from . import depthwise as lines
from . import direct as flat
from . import pointwise
from .choice import CHANNELS, DIRECT, DOTS, IMAGES, TILES, WINOGRAD, decide
from .small import dots, images
from .unfolded import Plan, plan
from .winograd import channels as winograd_channels
from .winograd import images as winograd_images
from .winograd import lines as winograd
from .winograd.choice import DATA, FORWARD, WEIGHT

F32 = NDArray[np.float32]

WAYS: dict[int, Any] = {
    DIRECT: flat,
    WINOGRAD: winograd,
    DOTS: dots,
    IMAGES: images,
    TILES: winograd_images,
    CHANNELS: winograd_channels,
}


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
    if len(kernel) > 2:
        return deep.scratch_size(x_shape, y_shape, (kernel, stride, pad, dilation))
    sizes = plan(x_shape, y_shape, kernel, stride, pad, dilation, groups)
    ways = {_way(sizes, product) for product in (FORWARD, DATA, WEIGHT)}
    size: int = max(way.scratch_size(sizes) for way in ways)
    return size


def forward(
    x: F32, weight: F32, bias: F32 | None, y: F32, scratch: F32,
    kernel: Extents, stride: Extents, pad: Extents, dilation: Extents, groups: int,
    slope: float = 1,
) -> None:  # fmt: skip
    """y = W * x + bias; what is negative times `slope`, as in convolution_relu.py."""
    if bias is None:
        bias = np.zeros(y.shape[1], np.float32)
    way: Any = deep
    if len(kernel) > 2:
        _fill(bias, _maps(y))
        deep.forward(x, weight, y, scratch, (kernel, stride, pad, dilation), groups)
    else:
        sizes = plan(x.shape, y.shape, kernel, stride, pad, dilation, groups)
        way = _way(sizes, FORWARD)
        rectifies = () if way is lines else (slope,)
        way.forward(sizes, x, weight, bias, y, scratch, *rectifies)
    if slope != 1 and way in (deep, lines):
        relu.forward(y, y, slope)


def backward_data(
    dy: F32, weight: F32, dx: F32, scratch: F32,
    kernel: Extents, stride: Extents, pad: Extents, dilation: Extents, groups: int,
) -> None:  # fmt: skip
    """Overwrite dx with the gradient to the images."""
    if len(kernel) > 2:
        deep.backward_data(dy, weight, dx, scratch, (kernel, stride, pad, dilation), groups)
    else:
        sizes = plan(dx.shape, dy.shape, kernel, stride, pad, dilation, groups)
        _way(sizes, DATA).backward_data(sizes, dy, weight, dx, scratch)


def backward_weight(
    x: F32, dy: F32, dweight: F32, scratch: F32,
    kernel: Extents, stride: Extents, pad: Extents, dilation: Extents, groups: int,
) -> None:  # fmt: skip
    """Add the gradient to the filters to dweight."""
    if len(kernel) > 2:
        deep.backward_weight(x, dy, dweight, scratch, (kernel, stride, pad, dilation), groups)
    else:
        sizes = plan(x.shape, dy.shape, kernel, stride, pad, dilation, groups)
        _way(sizes, WEIGHT).backward_weight(sizes, x, dy, dweight, scratch)


def backward_bias(dy: F32, dbias: F32) -> None:
    """Add the sums of dy (N, O, *out) over images and places to dbias (O)."""
    _add_sums(_maps(dy), dbias)


def add_bias(bias: F32, y: F32) -> None:
    """Add bias (O) to every place of y (N, O, *out)."""
    _add_bias(bias, _maps(y))


def _way(sizes: Plan, product: int) -> Any:
    """The file that serves one of the three products of a convolution of planes best."""
    if lines.serves(sizes):
        return lines
    if pointwise.serves(sizes):
        return pointwise
    return WAYS[decide(sizes, product)[0]]


def _maps(y: F32) -> F32:
    """(N, O, *out) -> (N, O, P)."""
    return y.reshape(y.shape[0], y.shape[1], -1)


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
