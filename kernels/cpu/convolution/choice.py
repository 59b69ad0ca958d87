"""Which way serves a product of a convolution of planes best: asked once, when a layer is reshaped.

A way is the file that does it. Filters of 1 x 1, and tiny groups, have files of their own.
Otherwise a product is done with lines in vectors, directly (direct.py) or by one of Winograd's
filterings (winograd/lines.py); or, where planes are small, so that lanes would be empty or padding
multiplied, with something else in the lanes:

    dot_products.py        pixels, whose products are summed: few taps and outputs
    images_in_lanes.py     images, directly
    winograd/images.py     images, by a filtering
    winograd/channels.py   channels, by a filtering: the gradient of the filters

The user's say about filterings is the environment variable MINICAFFE_WINOGRAD:

    fast    the default: all filterings whose errors are within the tolerance of the tests
    exact   only those whose errors are as small as those of a sum of products: F(2, 3)
    off     none

Ways are compared by a model of their times, in multiplications: those of all tiles of registers,
with what these do in vain; and for each number that is rearranged or transformed as many as take
the same time. These factors are the `Figures`, a set for each width of vectors. A decision takes
some tens of microseconds.
"""

import os
from functools import cache
from typing import NamedTuple

from minicaffe.errors import DeviceError

from .._vector.instructions import LANES, ROWS
from .._vector.scratch import whole
from ..gemm.micro_kernel import COLUMNS
from ..gemm.packing import padded_rows
from . import depthwise, dot_products, images_in_lanes, pointwise
from .direct import rotated
from .plan import DATA, WEIGHT, Sizes, Way, transposed
from .winograd.transforms import FILTERINGS

DIRECT, POINTWISE, DEPTHWISE = "direct", "pointwise", "depthwise"
DOT_PRODUCTS, IMAGES_IN_LANES = "dot_products", "images_in_lanes"
LINES, IMAGES, CHANNELS = "winograd/lines", "winograd/images", "winograd/channels"
ANY_AXES = "any_axes"

VARIABLE = "MINICAFFE_WINOGRAD"
LEVELS = {"off": (), "exact": (0,), "fast": (0, 1, 2)}  # which FILTERINGS
WIDEST = 512  # tiles of a row, which is the smallest block


class Figures(NamedTuple):
    """Times of the parts of a product, in multiplications; and what is left to other ways."""

    product: float  # a multiplication that is all in the caches, by one at the peak
    short: float  # the same for the direct gradient of filters
    copied: float  # a number copied along a line
    added: float  # a number of dcol added to dx
    turned: float  # a number of an image transposed, and transposed back
    transformed: float  # a number transformed, where no lane is empty
    summed: float  # a number of the sums read and written
    # a number of an image, and of a filter, that winograd/lines.py transforms; for the gradient of
    # the filters gradients are transposed, too
    tile: tuple[float, float, float]  # for FORWARD, DATA and WEIGHT
    filter: float
    clearly: float  # so much of the usual way's time must be left
    laid_out: int  # floats of COLUMNS images, at most: a part of a third-level cache
    transforms: int  # floats of an image's transformed tiles, at most


# By LANES. Those of 8 are fitted to some twenty layers of 7 x 7 to 32 x 32 pixels with AVX2, where
# a core does 50 multiplications in a nanosecond.
FIGURES = {
    8: Figures(
        product=1.22, short=1.3, copied=7, added=36, turned=28, transformed=9, summed=10,
        tile=(16, 16, 30), filter=40, clearly=0.92, laid_out=1 << 19, transforms=1 << 18,
    ),
}  # fmt: skip
COST = FIGURES.get(LANES, FIGURES[8])


@cache
def allowed() -> tuple[int, ...]:
    """The filterings that the user allows. Raises DeviceError for an unknown word."""
    word = os.environ.get(VARIABLE) or "fast"
    if word not in LEVELS:
        raise DeviceError(f"{VARIABLE}={word}: it is one of {', '.join(LEVELS)}")
    return LEVELS[word]


def decide(sizes: Sizes, product: int, filterings: tuple[int, ...]) -> Way:
    """The way for a product, with one of these filterings or none."""
    if depthwise.serves(sizes):
        return Way(DEPTHWISE)
    if pointwise.serves(sizes):
        return Way(POINTWISE)
    which = filtering_of_lines(sizes, product, filterings)
    if which is not None:
        best, usual = Way(LINES, which), _lines(sizes, which, product)
    elif product == WEIGHT and _is_for_dot_products(sizes):
        return Way(DOT_PRODUCTS)
    else:
        best, usual = Way(DIRECT), _direct(sizes, product)
    least = COST.clearly * usual
    for way, cost in _others(sizes, product, filterings):
        if cost < least:
            best, least = way, cost
    return best


def _others(sizes: Sizes, product: int, filterings: tuple[int, ...]) -> list[tuple[Way, float]]:
    """What can be done with something else than lines in the lanes, and its cost."""
    found: list[tuple[Way, float]] = []
    useful = [which for which in filterings if fits(sizes, which)]
    if product == WEIGHT:
        for which in useful:
            if _transforms(sizes, which) <= COST.transforms:
                found.append((Way(CHANNELS, which), _channels(sizes, which)))
        return found
    if product == DATA:
        if (sizes.stride_h, sizes.stride_w) != (1, 1):
            return []
        sizes = transposed(sizes)
    if images_in_lanes.fits(sizes):
        found.append((Way(IMAGES_IN_LANES), _images_in_lanes(sizes)))
    for which in useful:
        if _padded_image(sizes, which) * COLUMNS <= COST.laid_out:
            found.append((Way(IMAGES, which), _images(sizes, which)))
    return found


def _is_for_dot_products(sizes: Sizes) -> bool:
    few = sizes.depth <= 2 * COLUMNS and sizes.outputs % COLUMNS != 0
    return few and dot_products.fits(sizes)


def fits(sizes: Sizes, which: int) -> bool:
    """Whether a filtering can be used for a convolution."""
    m, r = FILTERINGS[which].m, FILTERINGS[which].r
    steps = (sizes.stride_h, sizes.stride_w, sizes.dilation_h, sizes.dilation_w)
    square = (sizes.kernel_h, sizes.kernel_w) == (r, r)
    return square and steps == (1, 1, 1, 1) and max(sizes.width, sizes.out_width) <= m * WIDEST


# ---- lines in the lanes: directly, or by a filtering


def filtering_of_lines(sizes: Sizes, product: int, filterings: tuple[int, ...]) -> int | None:
    """Which filtering is fastest with lines in the lanes; None where the direct way is."""
    best, least = (
        None,
        float(sizes.images * sizes.groups * sizes.pixels * sizes.depth * sizes.outputs),
    )
    for which in filterings:
        if fits(sizes, which) and (cost := _filtered(sizes, which, product)) < least:
            best, least = which, cost
    return best


def _filtered(sizes: Sizes, which: int, product: int) -> float:
    """n^2 products of (O, C) by (C, T) for T tiles, and n^2 (T C + T O + C O) transformed numbers.

    In multiplications of one pixel, tap, channel and output, of which the direct way does P K O.
    """
    high, wide = _rows_of_tiles(sizes, which, product)
    pairs = sizes.channels * sizes.outputs
    transforms = COST.tile[product] * high * wide * (sizes.channels + sizes.outputs)
    made = whole(high * wide, COLUMNS) * pairs + transforms + COST.filter * pairs
    return sizes.groups * _elements(which) * made


def _direct(sizes: Sizes, product: int) -> float:
    """The ways of direct.py, direct_weights.py and direct_columns.py."""
    items = sizes.images * sizes.groups
    if product == WEIGHT:
        panels = whole(sizes.depth, ROWS) * whole(sizes.outputs, COLUMNS)
        return COST.short * items * sizes.pixels * panels
    if product == DATA:
        back = rotated(sizes)
        if back is None:
            products = padded_rows(sizes.depth) * sizes.outputs
            return items * sizes.pixels * (COST.product * products + COST.added * sizes.depth)
        sizes = back
    products = padded_rows(sizes.outputs) * whole(sizes.pixels, COLUMNS)
    return items * sizes.depth * (COST.product * products + COST.copied * sizes.pixels)


def _lines(sizes: Sizes, which: int, product: int) -> float:
    """winograd/lines.py: neighbouring tiles of a line are in the lanes of its transforms."""
    high, wide = _rows_of_tiles(sizes, which, product)
    products = COST.product * whole(high * wide, COLUMNS) * sizes.channels * sizes.outputs
    numbers = high * whole(wide, LANES) * (sizes.channels + sizes.outputs)
    filters = COST.filter * sizes.channels * sizes.outputs
    made = products + COST.tile[product] * numbers + filters
    return sizes.groups * _elements(which) * made


def _rows_of_tiles(sizes: Sizes, which: int, product: int) -> tuple[int, int]:
    """How many rows of tiles all images have, and how many tiles a row has."""
    m = FILTERINGS[which].m
    height, width = sizes.out_height, sizes.out_width
    if product == DATA:
        height, width = sizes.height, sizes.width
    return sizes.images * -(-height // m), -(-width // m)


# ---- something else in the lanes


def _images_in_lanes(sizes: Sizes) -> float:
    items = whole(sizes.images, COLUMNS) * sizes.groups
    products = padded_rows(sizes.outputs) * images_in_lanes.products_of_an_output(sizes)
    return items * (COST.product * products + COST.turned * _numbers(sizes))


def _images(sizes: Sizes, which: int) -> float:
    items = whole(sizes.images, COLUMNS)
    products = COST.product * padded_rows(sizes.outputs) * sizes.channels
    tile = products + COST.transformed * (sizes.channels + sizes.outputs)
    filters = COST.filter * sizes.channels * sizes.outputs
    made = _elements(which) * (items * _count(sizes, which) * tile + filters)
    return sizes.groups * (made + COST.turned * items * _numbers(sizes))


def _channels(sizes: Sizes, which: int) -> float:
    columns = whole(sizes.outputs, COLUMNS)
    products = COST.product * padded_rows(sizes.channels) * columns
    lanes = whole(sizes.channels, LANES) + whole(sizes.outputs, LANES)
    tiles = sizes.images * _count(sizes, which)
    together = max(1, (COST.transforms // 2) // _transforms(sizes, which))
    sums = sizes.channels * columns * (COST.filter + COST.summed * sizes.images / together)
    made = _elements(which) * (tiles * (products + COST.transformed * lanes) + sums)
    return sizes.groups * (made + COST.turned * sizes.images * _numbers(sizes))


def _numbers(sizes: Sizes) -> int:
    """Floats of an image and its outputs, which are transposed."""
    return sizes.image + sizes.outputs * sizes.pixels


def _elements(which: int) -> int:
    return (FILTERINGS[which].m + FILTERINGS[which].r - 1) ** 2


def _count(sizes: Sizes, which: int) -> int:
    """Tiles of an image."""
    m = FILTERINGS[which].m
    return -(-sizes.out_height // m) * -(-sizes.out_width // m)


def _padded_image(sizes: Sizes, which: int) -> int:
    """Floats of an image of whole tiles with its padding."""
    m, r = FILTERINGS[which].m, FILTERINGS[which].r
    high, wide = whole(sizes.out_height, m) + r - 1, whole(sizes.out_width, m) + r - 1
    return high * wide * sizes.channels


def _transforms(sizes: Sizes, which: int) -> int:
    """Floats of an image's transformed tiles, and of those of COLUMNS of its gradients."""
    channels = whole(sizes.channels, LANES) + COLUMNS
    return _elements(which) * _count(sizes, which) * channels
