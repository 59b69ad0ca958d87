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

Ways are compared by a model of their times: of each are counted the multiplications of all tiles of
registers, with those in vain, the tiles begun, and the numbers that are moved, turned and prepared;
what each takes stands in figures.py, fitted to times of every way (`python -m benchmarks.ways`).
Where filters are kept from one forward to the next, as in phase TEST, they are read and not
prepared. A decision takes some tens of microseconds.
"""

import os
from collections.abc import Iterator
from functools import cache
from typing import NamedTuple

from minicaffe.errors import DeviceError
from minicaffe.machine.caches import cache_bytes

from .._vector.instructions import LANES, ROWS
from .._vector.scratch import whole
from ..gemm.micro_kernel import COLUMNS
from ..gemm.packing import DEPTH_BLOCK, padded_rows
from . import depthwise, dot_products, images_in_lanes, pointwise
from .direct import rotated
from .figures import FIGURES, Figures
from .plan import DATA, WEIGHT, Sizes, Way, transposed
from .winograd.products import CHUNK
from .winograd.transforms import FILTERINGS

DIRECT, POINTWISE, DEPTHWISE = "direct", "pointwise", "depthwise"
DOT_PRODUCTS, IMAGES_IN_LANES = "dot_products", "images_in_lanes"
LINES, IMAGES, CHANNELS = "winograd/lines", "winograd/images", "winograd/channels"
ANY_AXES = "any_axes"

VARIABLE = "MINICAFFE_WINOGRAD"
LEVELS = {"off": (), "exact": (0,), "fast": (0, 1, 2)}  # which FILTERINGS
WIDEST = 512  # tiles of a row, which is the smallest block
READ = 200.0  # picoseconds for a number of kept filters, which comes from memory


class Counts(NamedTuple):
    """What a way does for a product."""

    multiplied: float  # multiplications of the tiles of registers, and those in vain
    begun: float  # tiles of registers, a block of depth each
    moved: float = 0  # numbers copied along lines, or transformed
    turned: float = 0  # numbers transposed, or transposed back
    prepared: float = 0  # numbers of filters packed or transformed; of their gradients, summed


@cache
def allowed() -> tuple[int, ...]:
    """The filterings that the user allows. Raises DeviceError for an unknown word."""
    word = os.environ.get(VARIABLE) or "fast"
    if word not in LEVELS:
        raise DeviceError(f"{VARIABLE}={word}: it is one of {', '.join(LEVELS)}")
    return LEVELS[word]


def decide(
    sizes: Sizes, product: int, filterings: tuple[int, ...], figures: Figures = FIGURES[LANES],
    kept: bool = False,
) -> Way:  # fmt: skip
    """The way for a product, with one of these filterings or none; `kept`: with filters kept."""
    if depthwise.serves(sizes):
        return Way(DEPTHWISE)
    if pointwise.serves(sizes):
        return Way(POINTWISE)
    costs = compared(sizes, product, filterings, figures, kept)
    return min(costs, key=costs.__getitem__)


def compared(
    sizes: Sizes, product: int, filterings: tuple[int, ...], figures: Figures = FIGURES[LANES],
    kept: bool = False,
) -> dict[Way, float]:  # fmt: skip
    """The picoseconds that each way would take on one thread, by the model."""
    return {
        way: cost(counts, (*figures[kind][:-1], READ) if kept else figures[kind])
        for way, kind, counts in counted(sizes, product, filterings)
    }


def reason(way: Way, sizes: Sizes, product: int, kept: bool) -> str:
    """Why a way was chosen: what it serves, or what all would take."""
    if way.file == DEPTHWISE:
        return "for tiny groups"
    if way.file == POINTWISE:
        return "for filters of 1 x 1"
    costs = compared(sizes, product, allowed(), kept=kept)
    told = [f"{each} {costs[each] / 1e9:.3g} ms" for each in sorted(costs, key=costs.__getitem__)]
    return f"estimates for one thread: {', '.join(told)}"


def ways(sizes: Sizes, product: int, filterings: tuple[int, ...]) -> Iterator[Way]:
    """All ways for a product, fast or not."""
    if depthwise.serves(sizes):
        yield Way(DEPTHWISE)
    if pointwise.serves(sizes):
        yield Way(POINTWISE)
    for way, _, _ in counted(sizes, product, filterings, far=True):
        yield way


def cost(counts: Counts, figures: tuple[float, ...]) -> float:
    """Picoseconds of what is counted."""
    return sum(count * each for count, each in zip(counts, figures, strict=True))


def counted(
    sizes: Sizes, product: int, filterings: tuple[int, ...], far: bool = False
) -> Iterator[tuple[Way, str, Counts]]:
    """The ways that are compared, by which of the figures, and what they do.

    With `far` those too that read from afar, again and again, what does not fit into the caches.
    """
    useful = [which for which in filterings if fits(sizes, which)]
    if product == WEIGHT:
        yield Way(DIRECT), "direct_weights", _direct_weights(sizes)
        if dot_products.fits(sizes):
            yield Way(DOT_PRODUCTS), "dot_products", _dot_products(sizes)
        for which in useful:
            yield Way(LINES, which), "winograd/lines_gradient", _lines_gradient(sizes, which)
            if far or _transforms(sizes, which) <= cache_bytes(2) // 2:
                yield Way(CHANNELS, which), "winograd/channels", _channels(sizes, which)
        return
    back = rotated(sizes)
    if product == DATA and back is None:
        yield Way(DIRECT), "direct_columns", _direct_columns(sizes)
        if (sizes.stride_h, sizes.stride_w) != (1, 1):
            return
    if product == DATA:
        sizes = transposed(sizes)
    if product != DATA or back is not None:
        yield Way(DIRECT), "direct", _direct(sizes)
    if images_in_lanes.fits(sizes):
        yield Way(IMAGES_IN_LANES), "images_in_lanes", _images_in_lanes(sizes)
    for which in useful:
        yield Way(LINES, which), "winograd/lines", _lines(sizes, which)
        if far or _padded_image(sizes, which) <= cache_bytes(2) // 16:
            yield Way(IMAGES, which), "winograd/images", _images(sizes, which)


def fits(sizes: Sizes, which: int) -> bool:
    """Whether a filtering can be used for a convolution."""
    m, r = FILTERINGS[which].m, FILTERINGS[which].r
    steps = (sizes.stride_h, sizes.stride_w, sizes.dilation_h, sizes.dilation_w)
    square = (sizes.kernel_h, sizes.kernel_w) == (r, r)
    return square and steps == (1, 1, 1, 1) and max(sizes.width, sizes.out_width) <= m * WIDEST


# ---- lines in the lanes: directly, or by a filtering


def _direct(sizes: Sizes) -> Counts:
    items, rows = sizes.images * sizes.groups, padded_rows(sizes.outputs)
    return Counts(
        items * sizes.depth * rows * whole(sizes.pixels, COLUMNS),
        items * _tiles(rows, sizes.pixels) * -(-sizes.depth // DEPTH_BLOCK),
        moved=items * sizes.depth * sizes.pixels,
        prepared=sizes.groups * rows * sizes.depth,
    )


def _direct_columns(sizes: Sizes) -> Counts:
    items, rows = sizes.images * sizes.groups, padded_rows(sizes.depth)
    return Counts(
        items * sizes.outputs * rows * whole(sizes.pixels, COLUMNS),
        items * _tiles(rows, sizes.pixels) * -(-sizes.outputs // DEPTH_BLOCK),
        moved=items * sizes.depth * sizes.pixels,
        prepared=sizes.groups * rows * sizes.outputs,
    )


def _direct_weights(sizes: Sizes) -> Counts:
    items, rows = sizes.images * sizes.groups, whole(sizes.depth, ROWS)
    columns = whole(sizes.outputs, COLUMNS)
    return Counts(
        items * sizes.pixels * rows * columns,
        items * _tiles(rows, sizes.outputs) * sizes.out_height,
        moved=items * sizes.image,
        turned=items * sizes.outputs * sizes.pixels,
        prepared=sizes.groups * rows * columns * min(sizes.images, 8),
    )


def _dot_products(sizes: Sizes) -> Counts:
    items = sizes.images * sizes.groups
    return Counts(items * sizes.pixels * sizes.depth * sizes.outputs, 0, moved=items * sizes.image)


def _lines(sizes: Sizes, which: int) -> Counts:
    """winograd/lines.py: neighbouring tiles of a line are in the lanes of its transforms."""
    high, wide = _rows_of_tiles(sizes, which)
    squares, rows = sizes.groups * _elements(which), padded_rows(sizes.outputs)
    return Counts(
        squares * whole(high * wide, COLUMNS) * sizes.channels * rows,
        squares * _tiles(rows, high * wide) * -(-sizes.channels // CHUNK),
        moved=squares * high * whole(wide, LANES) * (sizes.channels + sizes.outputs),
        prepared=squares * sizes.channels * rows,
    )


def _lines_gradient(sizes: Sizes, which: int) -> Counts:
    high, wide = _rows_of_tiles(sizes, which)
    squares, rows = sizes.groups * _elements(which), padded_rows(sizes.channels)
    columns, tiles = whole(sizes.outputs, COLUMNS), high * wide
    return Counts(
        squares * tiles * rows * columns,
        squares * _tiles(rows, sizes.outputs) * -(-tiles // CHUNK),
        moved=squares * high * whole(wide, LANES) * (sizes.channels + sizes.outputs),
        turned=squares * tiles * sizes.outputs,
        prepared=squares * rows * columns,
    )


def _rows_of_tiles(sizes: Sizes, which: int) -> tuple[int, int]:
    """How many rows of tiles all images have, and how many tiles a row has."""
    m = FILTERINGS[which].m
    return sizes.images * -(-sizes.out_height // m), -(-sizes.out_width // m)


# ---- something else in the lanes


def _images_in_lanes(sizes: Sizes) -> Counts:
    items, rows = whole(sizes.images, COLUMNS) * sizes.groups, padded_rows(sizes.outputs)
    return Counts(
        items * rows * images_in_lanes.products_of_an_output(sizes),
        items // COLUMNS * sizes.pixels * sizes.kernel_h * rows // ROWS,
        turned=items * _numbers(sizes),
        prepared=sizes.groups * rows * sizes.depth,
    )


def _images(sizes: Sizes, which: int) -> Counts:
    items, rows = whole(sizes.images, COLUMNS) * sizes.groups, padded_rows(sizes.outputs)
    tiles = items * _elements(which) * _count(sizes, which)
    return Counts(
        tiles * rows * sizes.channels,
        tiles // COLUMNS * rows // ROWS * -(-sizes.channels // CHUNK),
        moved=tiles * (sizes.channels + sizes.outputs),
        turned=items * _numbers(sizes),
        prepared=sizes.groups * _elements(which) * sizes.channels * rows,
    )


def _channels(sizes: Sizes, which: int) -> Counts:
    rows, columns = padded_rows(sizes.channels), whole(sizes.outputs, COLUMNS)
    lanes = whole(sizes.channels, LANES) + columns
    squares, count = sizes.groups * _elements(which), _count(sizes, which)
    return Counts(
        squares * sizes.images * count * rows * columns,
        squares * _tiles(rows, sizes.outputs) * sizes.images * -(-count // CHUNK),
        moved=squares * sizes.images * count * lanes,
        turned=sizes.groups * sizes.images * _numbers(sizes),
        prepared=squares * rows * columns,
    )


def _tiles(rows: int, columns: int) -> float:
    """Tiles of registers."""
    return rows / ROWS * -(-columns // COLUMNS)


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
    """Floats of an image of whole tiles with its padding; COLUMNS of them are laid out."""
    m, r = FILTERINGS[which].m, FILTERINGS[which].r
    high, wide = whole(sizes.out_height, m) + r - 1, whole(sizes.out_width, m) + r - 1
    return high * wide * sizes.channels


def _transforms(sizes: Sizes, which: int) -> int:
    """Floats of an image's transformed tiles, and of those of COLUMNS of its gradients."""
    channels = whole(sizes.channels, LANES) + COLUMNS
    return _elements(which) * _count(sizes, which) * channels
