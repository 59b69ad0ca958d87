"""Convolution with any number of spatial axes.

    N images, C channels, O outputs, G groups, K = C/G * taps, P = pixels of the output
    y (O/G, N P) = W (O/G, K) @ col (K, N P)         for each group
    dcol = W.T @ dy                                  dW += dy @ col.T

x (N, C, *spatial), weight (O, C/G, *kernel), y (N, O, *out). What filters see is not flipped
(cross-correlation). A deconvolution is the same three products with the roles of x and y swapped.
Each product is 2 N O P K operations, for all images in one launch. `col` is nowhere: product.py
finds its numbers where they lie. A group with a single channel is no matrix: depthwise.py.
"""

from functools import lru_cache
from math import prod
from typing import Any

from .._array import DeviceArray
from .._compile.jit import kernel as compiled
from .._compile.words import F32, blockIdx, grid, threadIdx
from .._parts import add_parts
from .._reduce import block_sum
from .._tiles import as_wanted
from . import depthwise
from .plan import Extents, Plan
from .product import DATA, FORWARD, WEIGHT, product

THREADS = 256


def plan(
    x_shape: Extents, y_shape: Extents, kernel: Extents, stride: Extents, pad: Extents,
    dilation: Extents, groups: int, keeps: bool = False,
) -> Plan:  # fmt: skip
    """How to convolve images of these shapes; `kernel` and so on have a number a spatial axis."""
    if not kernel:  # a point is a line of length 1
        return plan((*x_shape, 1), (*y_shape, 1), (1,), (1,), (0,), (1,), groups)
    window = tuple(tuple(map(int, extents)) for extents in (kernel, stride, pad, dilation))
    return _plan(tuple(x_shape), tuple(y_shape), window, int(groups))


@lru_cache(maxsize=256)
def _plan(x_shape: Extents, y_shape: Extents, window: Any, groups: int) -> Plan:
    return Plan(x_shape, y_shape, window, groups)


def scratch_size(plan: Plan, keeps: bool = False) -> int:
    """Floats of scratch that the functions below need: the parts of the filters' gradient."""
    return 0 if plan.depthwise else plan.parts * plan.y_shape[1] * plan.channels * plan.taps


def ways(plan: Plan) -> tuple[str, str, str]:
    """How forward, backward to the images and backward to the weights are done, in words."""
    if plan.depthwise:
        return "depthwise", "depthwise", "depthwise"
    parts = f", {plan.parts} parts" if plan.parts > 1 else ""
    forward, data, weight = plan.forward_tile, plan.data_tile, plan.weight_tile
    return f"tiles of {forward}", f"tiles of {data}", f"tiles of {weight}{parts}"


def reasons(plan: Plan, kept: bool = False) -> tuple[str, str, str]:
    """Why these ways, in words."""
    large = "large tiles read least, small ones are more blocks"
    why = "for tiny groups" if plan.depthwise else large
    return why, why, why


def forward(
    plan: Plan, x: DeviceArray, weight: DeviceArray, bias: DeviceArray | None, y: DeviceArray,
    scratch: DeviceArray, kept: bool | None = None,
) -> None:  # fmt: skip
    """y = W * x + bias. Filters are read as they are: nothing is kept."""
    if plan.depthwise:
        depthwise.forward(plan, x, weight, bias, y)
        return
    depth = plan.channels * plan.taps
    sizes = plan.outputs, plan.images * plan.places, depth
    a = depth, plan.outputs * depth
    c = plan.places, plan.outputs * plan.places
    apart = (*a, plan.channels * plan.pixels, *c, plan.x_shape[2:])
    _launch(plan, FORWARD, (weight, x, bias, y), sizes, (1, depth, 0), apart)


def backward_data(
    plan: Plan, dy: DeviceArray, weight: DeviceArray, dx: DeviceArray, scratch: DeviceArray,
    kept: bool | None = None,
) -> None:  # fmt: skip
    """Overwrite dx with the gradient to the images."""
    if plan.depthwise:
        depthwise.backward_data(plan, dy, weight, dx)
        return
    # columns and depth of each phase are so many times what the kernel finds
    sizes = plan.channels, plan.images, plan.outputs
    a = plan.taps, plan.outputs * plan.channels * plan.taps
    c = plan.pixels, plan.channels * plan.pixels
    apart = (*a, plan.outputs * plan.places, *c, plan.y_shape[2:])
    _launch(plan, DATA, (weight, dy, None, dx), sizes, (plan.phases, 0, 0), apart)


def backward_weight(
    plan: Plan, x: DeviceArray, dy: DeviceArray, dweight: DeviceArray, scratch: DeviceArray
) -> None:
    """Add the gradient to the filters to dweight."""
    if plan.depthwise:
        depthwise.backward_weight(plan, x, dy, dweight)
        return
    columns, depth = plan.channels * plan.taps, plan.images * plan.places
    share = -(-depth // plan.parts)
    a = plan.places, plan.outputs * plan.places
    c = columns, plan.outputs * columns
    apart = (*a, plan.channels * plan.pixels, *c, plan.x_shape[2:])
    layers = plan.parts, share, dweight.size
    _launch(plan, WEIGHT, (dy, x, None, scratch), (plan.outputs, columns, depth), layers, apart)
    add_parts.over(dweight.size)(scratch, plan.parts, dweight.reshape(-1), 1.0, 1.0)


def backward_bias(dy: DeviceArray, dbias: DeviceArray) -> None:
    """Add the sums of dy (N, O, *out) over images and pixels to dbias (O)."""
    _add_sums[dbias.size, THREADS](_maps(dy), dbias)


def add_bias(bias: DeviceArray, y: DeviceArray) -> None:
    """Add bias (O) to every pixel of y (N, O, *out)."""
    _add_bias.over(y.size)(bias, _maps(y))


def _launch(
    plan: Plan, which: int, arrays: Any, sizes: Any, layers: tuple[int, int, int], apart: Any
) -> None:
    """Start one of the products; its blocks are tiles of each group's matrix, in each layer."""
    tile = as_wanted((plan.forward_tile, plan.data_tile, plan.weight_tile)[which])
    columns = plan.images * plan.pixels_of_phase if which == DATA else sizes[1]
    down, across = tile.cover(sizes[0], columns)
    blocks = across * layers[0] * plan.groups, down
    how = (
        plan.x_shape[2:], plan.y_shape[2:], *plan.window, plan.hop,
        plan.channels, plan.outputs, plan.groups,
    )  # fmt: skip
    flat = (each if each is None else each.reshape(-1) for each in arrays)
    convolve = product(which, len(plan.window[0]), tile)
    convolve[blocks, THREADS](*flat, sizes, (across, *layers), apart, how)


def _maps(y: DeviceArray) -> DeviceArray:
    """(N, O, *out) -> (N, O, P)."""
    return y.reshape(*y.shape[:2], prod(y.shape[2:]))


@compiled
def _add_bias(bias: F32, y: F32) -> None:
    i = grid()
    _, outputs, pixels = y.shape
    if i < y.size:
        n, o, p = i // (outputs * pixels), i // pixels % outputs, i % pixels
        y[n, o, p] += bias[o]


@compiled
def _add_sums(dy: F32, dbias: F32) -> None:
    images, _, pixels = dy.shape
    o, total = blockIdx.x, 0.0
    for i in range(threadIdx.x, images * pixels, THREADS):
        total += dy[i // pixels, o, i % pixels]
    total = block_sum(total)
    if threadIdx.x == 0:
        dbias[o] += total
