"""Convolution of planes as matrix products whose columns are never written out ("implicit GEMM").

    y (O, P) = W (O, K) @ col (K, P),   K = kernel_h * C * kernel_w,   P = out_h * out_w,   a group

Rows of `col` are pieces of lines of the unfolded image (unfolded.py):

* forward copies DEPTH_BLOCK rows of `col` for BLOCK pixels, vector by vector, into a buffer from
  which the micro-kernel reads them. They stay in the second-level cache and are used for all O
  outputs, ROW_BLOCK of them at a time, whose filters stay there too.
* backward to the images is the same with rotated filters, where dy has about as many columns as dx
  (stride 1, padding). Elsewhere it goes by way of the columns (direct_columns.py).
* backward to the weights sums over pixels (direct_weights.py).

Each is 2 N O P K operations, less those of taps that see nothing but padding. Of memory, each reads
and writes its arrays once. A row of `col` is copied once, and read O times, from a cache.

Threads share blocks of pixels, and outputs where there are few of these. The order of every sum
is the same for every number of threads.
"""

from functools import lru_cache
from typing import NamedTuple

import numpy as np
from numba import prange
from numpy.typing import NDArray

from .._compile.jit import inlined, inner, jitable, kernel
from .._vector.instructions import LANES, ROWS
from .._vector.lanes import copy_lanes
from .._vector.scratch import Need, Scratch, divide, room
from ..gemm.matrix import Column, PackedColumns, PackedRows, Rows
from ..gemm.micro_kernel import COLUMNS, VECTORS
from ..gemm.packing import (
    DEPTH_BLOCK,
    ROW_BLOCK,
    depth_block,
    multiply_packed,
    padded_rows,
    panel_of,
)
from . import direct_columns, direct_weights
from .plan import Plan, Sizes, transposed
from .taps import turn_taps
from .unfolded import BLOCK, PITCH, Unfolding, taps_that_see, unfold, unfolding

F32 = NDArray[np.float32]
I64 = NDArray[np.int64]

TILE = ROWS * COLUMNS


@lru_cache(maxsize=256)
def _need(sizes: Sizes) -> Need:
    """Floats of scratch: packed filters, biases; rows of col and an unfolded image a thread."""
    bias = sizes.groups * sizes.outputs + ROWS
    each = TILE + PITCH * DEPTH_BLOCK + LANES + unfolding(sizes).floats
    return _filters_size(sizes) + bias, each


@jitable
def _filters_size(sizes: Sizes) -> int:
    """Floats of the packed filters; the biases follow."""
    return sizes.groups * padded_rows(sizes.outputs) * sizes.depth


@lru_cache(maxsize=256)
def rotated(sizes: Sizes) -> Sizes | None:
    """The convolution of dy that gives dx, if there is one and it takes little longer.

    Where the stride is 1, dx is dy, padded by kernel - 1 - pad, convolved with the rotated filters.
    The products with padding are in vain: dx has more columns than dy, unless the padding makes up
    for it.
    """
    back = transposed(sizes)
    if (sizes.stride_h, sizes.stride_w) != (1, 1) or min(back.pad_h, back.pad_w) < 0:
        return None
    return back if sizes.width <= 1.15 * sizes.out_width else None


def scratch_size(plan: Plan) -> int:
    """Floats that the functions below need on the present number of threads."""
    back = rotated(plan.sizes)
    data = direct_columns.need(plan.sizes) if back is None else _need(back)
    return room((_need(plan.sizes), data, direct_weights.need(plan.sizes)))


# ---- the three products


def forward(
    plan: Plan, x: F32, weight: F32, bias: F32, y: F32, scratch: F32, kept: bool | None = None
) -> None:
    """y = W * x + bias."""
    _convolve(plan.sizes, _filters(plan.sizes), x, weight, bias, y, scratch, kept)


def backward_data(
    plan: Plan, dy: F32, weight: F32, dx: F32, scratch: F32, kept: bool | None = None
) -> None:
    """Overwrite dx."""
    back = rotated(plan.sizes)
    if back is None:
        direct_columns.backward_data(plan.sizes, dy, weight, dx, scratch, kept)
    else:
        _convolve(back, _rotated_filters(back), dy, weight, None, dx, scratch, kept)


def backward_weight(plan: Plan, x: F32, dy: F32, dweight: F32, scratch: F32) -> None:
    """Add to dweight."""
    direct_weights.backward_weight(plan.sizes, x, dy, dweight, scratch)


class Filters(NamedTuple):
    """Where number (r, c, s) of the filter of an output is: start + the sum of index * step."""

    start: int
    group: int
    output: int
    r: int
    c: int
    s: int


@lru_cache(maxsize=256)
def _filters(sizes: Sizes) -> Filters:
    """Those of a weight (O, C, kernel_h, kernel_w)."""
    taps = sizes.kernel_h * sizes.kernel_w
    return Filters(0, sizes.outputs * sizes.depth, sizes.depth, sizes.kernel_w, taps, 1)


@lru_cache(maxsize=256)
def _rotated_filters(back: Sizes) -> Filters:
    """Those of the convolution of dy that gives dx: rotated, and inputs and outputs change places.

    `back` are its sizes; the weight is that of the forward one, (C, O, kernel_h, kernel_w) here.
    """
    taps = back.kernel_h * back.kernel_w
    group = back.outputs * back.depth
    return Filters(taps - 1, group, taps, -back.kernel_w, back.outputs * taps, -1)


def _convolve(
    sizes: Sizes, at: Filters, x: F32, weight: F32, bias: F32 | None, y: F32, scratch: F32,
    kept: bool | None,
) -> None:  # fmt: skip
    work = divide(scratch, _need(sizes))
    if not kept:
        bias0 = _filters_size(sizes)
        work.floats[bias0 : bias0 + sizes.groups * sizes.outputs] = 0 if bias is None else bias
        _pack_filters(sizes, weight.reshape(-1), at, work.floats)
    _forward(sizes, unfolding(sizes), x.reshape(-1), y.reshape(-1), work)


@kernel
def _pack_filters(sizes: Sizes, weight: F32, at: Filters, out: F32) -> None:
    """W of each group in panels, K deep, k = (r, c, s)."""
    rows, taps = padded_rows(sizes.outputs), sizes.kernel_h * sizes.kernel_w
    backward = at.s < 0
    width = (ROWS + LANES - 1) // LANES * LANES
    for row in prange(sizes.groups * rows):
        group, o = row // rows, row % rows
        first, height = panel_of(o, sizes.outputs)
        if o > first:
            continue  # the panel's first row packs them all
        count = min(height, sizes.outputs - first)
        source = at.start + group * at.group + first * at.output
        source -= taps - 1 if backward else 0
        to = (group * rows + first) * sizes.depth
        turned = np.zeros((taps + LANES) * width, np.float32)  # a channel's, [tap][output]
        for c in range(sizes.channels):
            turn_taps(count, taps, weight, source + c * at.c, at.output, turned, 0, width)
            for r in range(sizes.kernel_h):
                for s in range(sizes.kernel_w):
                    tap = r * sizes.kernel_w + s
                    tap = taps - 1 - tap if backward else tap
                    k = (r * sizes.channels + c) * sizes.kernel_w + s
                    # Whole vectors: what one has beyond the panel's rows, the next overwrites.
                    if c + 1 < sizes.channels:
                        for lane in range(0, height, LANES):
                            copy_lanes(turned, tap * width + lane, out, to + k * height + lane)
                    else:
                        for i in range(height):
                            out[to + k * height + i] = turned[tap * width + i]


@inner
def _pack_columns(
    u: Unfolding, image: F32, image0: int, block: int, first: int, last: int, out: F32, out0: int
) -> None:
    """Write rows [first, last) of col for a block of pixels, PITCH floats a row.

    Run by run, a run for all rows. Whole vectors are copied: what one has beyond the end of its run
    is overwritten by the next run, or means nothing.
    """
    begin = u.run_pixel[u.first_run[block]]
    for run in range(u.first_run[block], u.first_run[block + 1]):
        source, to = image0 + u.run_from[run], out0 + u.run_pixel[run] - begin
        vectors = (u.run_count[run] + LANES - 1) // LANES
        if vectors == 1:
            _copy_vectors(1, u.taps, first, last, image, source, out, to)
        elif vectors == 2:
            _copy_vectors(2, u.taps, first, last, image, source, out, to)
        elif vectors == 4:
            _copy_vectors(4, u.taps, first, last, image, source, out, to)
        elif vectors == 8 * VECTORS:
            _copy_vectors(8 * VECTORS, u.taps, first, last, image, source, out, to)
        else:
            _copy_vectors(vectors, u.taps, first, last, image, source, out, to)


@inlined
def _copy_vectors(
    vectors: int, taps: I64, first: int, last: int, image: F32, source: int, out: F32, to: int
) -> None:
    """Copy so many vectors that each tap sees; a loop for itself for numbers that are common."""
    for k in range(first, last):
        at = source + taps[k]
        for v in range(0, vectors * LANES, LANES):
            copy_lanes(image, at + v, out, to + v)
        to += PITCH


@kernel
def _forward(sizes: Sizes, u: Unfolding, x: F32, y: F32, work: Scratch) -> None:
    memory = work.floats
    filters, biases = padded_rows(sizes.outputs) * sizes.depth, _filters_size(sizes)
    deep = depth_block(sizes.depth)
    blocks = (sizes.pixels + BLOCK - 1) // BLOCK
    tasks = sizes.images * sizes.groups * blocks
    row_blocks = (sizes.outputs + ROW_BLOCK - 1) // ROW_BLOCK
    parts = min(row_blocks, (work.threads + tasks - 1) // tasks)  # of the outputs, for few tasks
    tasks *= parts
    for thread in prange(work.threads):
        tile = work.shared + thread * work.each
        packed = tile + TILE
        unfolded = packed + PITCH * DEPTH_BLOCK + LANES
        item = -1
        for task in range(thread * tasks // work.threads, (thread + 1) * tasks // work.threads):
            # A vector may reach beyond the end of the image: the last is not read in place.
            beyond = (task // parts // blocks + 1) * sizes.image + LANES
            in_place = not u.needed and beyond <= x.size
            if item != task // parts // blocks:
                item = task // parts // blocks
                if not in_place:
                    unfold(sizes, u, x, item * sizes.image, memory, unfolded)
            image, image0 = (x, item * sizes.image) if in_place else (memory, unfolded)
            part, block = task % parts, task // parts % blocks
            first_row = part * row_blocks // parts * ROW_BLOCK
            last_row = min((part + 1) * row_blocks // parts * ROW_BLOCK, sizes.outputs)
            begin = block * BLOCK
            end = min(begin + BLOCK, sizes.pixels)
            group = item % sizes.groups
            y0 = item * sizes.outputs * sizes.pixels
            seen = taps_that_see(sizes, begin, end)
            for start in range(0, sizes.depth, deep):
                first, last = max(seen[0], start), min(seen[1], start + deep)
                _pack_columns(u, image, image0, block, first, last, memory, packed)
                for o in range(first_row, last_row, ROW_BLOCK):
                    for panel in range(begin, end, COLUMNS):
                        wide = min(COLUMNS, end - panel)
                        low, high = taps_that_see(sizes, panel, panel + wide)
                        low, high = max(low, start), min(high, start + deep)
                        a0, b0 = group * filters + o * sizes.depth, packed + panel - begin
                        multiply_packed(
                            high - low, PackedRows(memory, a0, sizes.depth, low),
                            PackedColumns(memory, b0 + (low - first) * PITCH, 0, int(PITCH)),
                            Column(memory, biases + group * sizes.outputs + o, 1),
                            Rows(
                                y, y0 + o * sizes.pixels + panel,
                                min(ROW_BLOCK, sizes.outputs - o), wide, sizes.pixels,
                            ),
                            start > 0, memory, tile,
                        )  # fmt: skip
