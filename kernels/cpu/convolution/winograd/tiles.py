"""Planes cut into the tiles of a Winograd convolution, and put together again.

A *row* is a row of tiles of one image; rows are numbered through all images. Tile (i, j) makes
m x m outputs, from line m i and column m j on, of n x n inputs, n = m + r - 1, which begin as many
lines and columns earlier as the padding is wide; neighbours share r - 1 lines. A *block* is a few
whole rows, of all images alike; its tiles are numbered row by row.

Vectors hold the same value of LANES neighbouring tiles. So each line is first laid out in m phases:
value j of tiles t, t + 1, t + 2 ... is then contiguous. What a vector has beyond the end of its row
of tiles means nothing, and is overwritten by the next row.
"""

from functools import lru_cache
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from minicaffe.machine.caches import cache_bytes
from minicaffe.machine.threads import num_threads

from ..._compile.jit import inner
from ..._vector.instructions import LANES
from ..._vector.lanes import copy_line, fill_line
from ..._vector.scratch import CACHE_LINE, Scratch, whole, workspace
from ...gemm.micro_kernel import COLUMNS
from ..plan import Sizes
from .products import panel_at, rows_with_room
from .transforms import FILTERINGS, GRADIENT, INPUT, OUTPUT, join_lanes, split_lanes, transform

F32 = NDArray[np.float32]
ZERO = np.float32(0)

TILES = 128  # of a block, at most, where a row has fewer
LARGE = 1 << 20  # bytes of a second-level cache in which a block may be held


class Tiling(NamedTuple):
    """A convolution cut into tiles; channels and outputs are a group's."""

    which: int  # of the FILTERINGS
    m: int
    r: int
    n: int
    images: int
    groups: int
    channels: int
    outputs: int
    height: int
    width: int
    out_height: int
    out_width: int
    pad_h: int
    pad_w: int
    tiles_h: int
    tiles_w: int
    rows: int  # of tiles in a block, at most
    # floats of what a thread works with
    phase: int  # from one phase of a line to the next
    line: int  # a line with its padding
    stage: int  # the lines of a block, in phases
    # a block's transformed inputs in panels [panel of tiles][channel][COLUMNS]
    panel: int
    input_step: int  # from one element of the tile to the next
    # and its products [output][tile]
    output_line: int
    output_step: int
    # filters: [element][panel of outputs][channel][output]
    filter_step: int
    # for the gradient of the filters: transformed inputs and gradients [plane][tile]
    plane: int
    channel_step: int
    gradient_step: int
    sum_rows: int  # channels, with room for the last tile of a product


def odd_lines(floats: int) -> int:
    """At least so many floats: an odd number of cache lines.

    Streams that are a power of two apart would share a few lines of the first-level cache.
    """
    return (-(-floats // CACHE_LINE) | 1) * CACHE_LINE


def working_memory(shared: int, each: int) -> Scratch:
    """Scratch of so many floats that all threads share, and so many for each.

    It is the workspace that this Python thread uses for all layers: transformed filters are four
    times as large as filters.
    """
    shared, each, threads = whole(shared, CACHE_LINE), odd_lines(each), num_threads()
    return Scratch(workspace(shared + threads * each), shared, each, threads)


@lru_cache(maxsize=256)
def tiling(which: int, sizes: Sizes, most: int = TILES) -> Tiling:
    """Cut a convolution into blocks of at most so many tiles, or one row."""
    m, r = FILTERINGS[which].m, FILTERINGS[which].r
    n = m + r - 1
    tiles_h, tiles_w = -(-sizes.out_height // m), -(-sizes.out_width // m)
    rows = best_rows(tiles_w, sizes.images * tiles_h, most)
    spread = whole(tiles_w + (n - 1) // m, LANES)
    phase = spread + LANES
    tiles = whole(rows * tiles_w, COLUMNS)
    channels, outputs = sizes.channels, sizes.outputs
    panel = (channels + 1) * COLUMNS  # one more: what a vector has beyond the end of a panel
    plane = whole(tiles, LANES) + LANES
    return Tiling(
        which, m, r, n, sizes.images, sizes.groups, channels, outputs, sizes.height, sizes.width,
        sizes.out_height, sizes.out_width, sizes.pad_h, sizes.pad_w, tiles_h, tiles_w,
        rows, phase, m * spread, (min(rows, tiles_h) * m + r - 1) * m * phase,
        panel, odd_lines(tiles // COLUMNS * panel),
        tiles, odd_lines(rows_with_room(outputs) * tiles + LANES),
        odd_lines(panel_at(rows_with_room(outputs), channels) + LANES),
        plane, odd_lines(rows_with_room(channels) * plane), odd_lines(COLUMNS * plane),
        rows_with_room(channels),
    )  # fmt: skip


def tiles_near(which: int, sizes: Sizes) -> int:
    """How many tiles stay in a large second-level cache while they are transformed and multiplied.

    Their inputs and products, 4 n^2 (C + O) bytes each, are written and read again. The filters
    come from the third level, once for all tiles, for which F(2, 3) waits where these are few.
    Where a second level is small a block is in the third, and TILES is as good as any.
    """
    n, cache = FILTERINGS[which].m + FILTERINGS[which].r - 1, cache_bytes(2)
    if cache < LARGE:
        return TILES
    fit = int(0.6 * cache) // (4 * n * n * (sizes.channels + sizes.outputs))
    return min(max(fit // COLUMNS * COLUMNS, COLUMNS if n > 4 else 2 * COLUMNS), TILES)


def best_rows(tiles_w: int, rows: int, most: int) -> int:
    """Rows a block, such that the fewest columns of panels remain empty; rather many than few."""

    def columns(count: int) -> int:
        full, rest = divmod(rows, count)
        return full * whole(count * tiles_w, COLUMNS) + whole(rest * tiles_w, COLUMNS)

    counts = range(min(rows, max(1, most // tiles_w)), 0, -1)
    return min(counts, key=columns)


@inner
def _stage_lines(
    t: Tiling, x: F32, x0: int, size: tuple[int, int], pad: int, first: int, count: int,
    work: F32, line: int, stage: int,
) -> None:  # fmt: skip
    """Lay `count` lines of a plane out in phases, from line `first` on, which may be padding.

    `line` is where a line of zeros is kept, of which the same part is used by every plane.
    """
    height, width = size
    low, skip = max(pad, 0), max(-pad, 0)
    inside = max(min(width - skip, t.line - low), 0)
    for h in range(first, first + count):
        to = stage + (h - first) * t.m * t.phase
        if 0 <= h < height:
            copy_line(inside, x, x0 + h * width + skip, 1, work, line + low)
            for v in range(0, t.line // t.m, LANES):
                split_lanes(t.m, work, line + v * t.m, work, to + v, t.phase)
        else:
            fill_line(t.m * t.phase, ZERO, work, to)


@inner
def transform_inputs(
    t: Tiling, x: F32, plane: int, first: int, last: int, work: F32, line: int, stage: int,
    to: int, panel: int, step: int,
) -> None:  # fmt: skip
    """B^T d B of the tiles of rows [first, last), in a channel of each image.

    `plane` is the channel's number among those of all groups. Element k of tile p goes to
    work[to + k * step + p // COLUMNS * panel + p % COLUMNS].
    """
    row = first
    while row < last:
        i = row % t.tiles_h
        count = min(last - row, t.tiles_h - i)
        x0 = (row // t.tiles_h * t.groups * t.channels + plane) * t.height * t.width
        size = (t.height, t.width)
        high = t.m * count + t.r - 1
        _stage_lines(t, x, x0, size, t.pad_w, t.m * i - t.pad_h, high, work, line, stage)
        for k in range(count):
            source = stage + k * t.m * t.m * t.phase
            p = (row - first + k) * t.tiles_w
            j = 0
            while j < t.tiles_w:
                at = to + (p + j) // COLUMNS * panel + (p + j) % COLUMNS
                transform(INPUT, t.which, work, source + j, t.m * t.phase, t.phase, work, at, step)
                j += min(LANES, COLUMNS - (p + j) % COLUMNS)
        row += count


@inner
def transform_gradients(
    t: Tiling, dy: F32, plane: int, first: int, last: int, work: F32, line: int, stage: int,
    to: int, step: int,
) -> None:  # fmt: skip
    """A dy A^T of the tiles of rows [first, last), in an output of each image.

    Element k of tile p goes to work[to + k * step + p].
    """
    size = (t.out_height, t.out_width)
    for row in range(first, last):
        dy0 = (row // t.tiles_h * t.groups * t.outputs + plane) * t.out_height * t.out_width
        _stage_lines(t, dy, dy0, size, 0, row % t.tiles_h * t.m, t.m, work, line, stage)
        p = to + (row - first) * t.tiles_w
        for j in range(0, t.tiles_w, LANES):
            transform(GRADIENT, t.which, work, stage + j, t.m * t.phase, t.phase, work, p + j, step)


@inner
def transform_outputs(
    t: Tiling, y: F32, plane: int, bias: np.float32, first: int, last: int, work: F32, line: int,
    stage: int, source: int,
) -> None:  # fmt: skip
    """y = A^T M A + bias for the tiles of rows [first, last), in an output of each image.

    Element k of tile p is work[source + k * t.output_step + p].
    """
    for row in range(first, last):
        p = source + (row - first) * t.tiles_w
        for j in range(0, t.tiles_w, LANES):
            transform(
                OUTPUT, t.which, work, p + j, t.n * t.output_step, t.output_step,
                work, stage + j, t.phase,
            )  # fmt: skip
        top = row % t.tiles_h * t.m
        y0 = (row // t.tiles_h * t.groups * t.outputs + plane) * t.out_height
        for i in range(min(t.m, t.out_height - top)):
            to = (y0 + top + i) * t.out_width
            at = stage + i * t.m * t.phase
            for j in range(0, t.out_width, t.m * LANES):
                if j + t.m * LANES <= t.out_width:
                    join_lanes(t.m, work, at, t.phase, bias, y, to + j)
                else:
                    join_lanes(t.m, work, at, t.phase, bias, work, line)
                    copy_line(t.out_width - j, work, line, 1, y, to + j)
                at += LANES
