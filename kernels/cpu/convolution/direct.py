"""Convolution of planes as matrix products whose columns are never written out ("implicit GEMM").

    y (O, P) = W (O, K) @ col (K, P),   K = kernel_h * C * kernel_w,   P = out_h * out_w,   a group

Rows of `col` are pieces of lines of the unfolded image (unfolded.py):

* forward copies DEPTH_BLOCK rows of `col` for BLOCK places, vector by vector, into a buffer from
  which the micro-kernel reads them. They stay in the second-level cache and are used for all O
  outputs, ROW_BLOCK of them at a time, whose filters stay there too.
* backward to the images is the same with rotated filters, where dy has about as many columns as dx
  (stride 1, padding). Elsewhere it goes by way of the columns (direct_columns.py).
* backward to the weights sums over places (direct_weights.py).

Each is 2 N O P K operations, less those of taps that see nothing but margins. Of memory, each reads
and writes its arrays once. A row of `col` is copied once, and read O times, from a cache.

Threads share blocks of places, and outputs where there are few of these. The order of every sum
is the same for every number of threads.
"""

from typing import NamedTuple

import numpy as np
from numba import prange
from numpy.typing import NDArray

from .._compile.jit import inlined, inner, kernel
from .._vector.instructions import LANES, ROWS
from .._vector.lanes import copy_lanes
from .._vector.scratch import Need, divide, room
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
from ..relu import rectify_line
from . import direct_columns as columns
from . import direct_weights as weights
from .unfolded import BLOCK, PITCH, Plan, taps_that_see, unfold
from .unfolded import plan as make_plan

F32 = NDArray[np.float32]
I64 = NDArray[np.int64]

TILE = ROWS * COLUMNS


def _need(plan: Plan) -> Need:
    """Floats of scratch: packed filters, biases; rows of col and an unfolded image a thread."""
    filters = plan.groups * padded_rows(plan.outputs) * plan.depth
    bias = plan.groups * plan.outputs + ROWS
    return filters + bias, TILE + PITCH * DEPTH_BLOCK + LANES + plan.unfolded


def rotated(plan: Plan) -> Plan | None:
    """The convolution of dy that gives dx, if there is one and it takes little longer.

    Where the stride is 1, dx is dy, with margins of kernel - 1 - pad, convolved with the rotated
    filters. The products with margins are in vain: dx has more columns than dy, unless the
    padding makes up for it.
    """
    pad_h = plan.dilation_h * (plan.kernel_h - 1) - plan.pad_h
    pad_w = plan.dilation_w * (plan.kernel_w - 1) - plan.pad_w
    if (plan.stride_h, plan.stride_w) != (1, 1) or min(pad_h, pad_w) < 0:
        return None
    if plan.width > 1.15 * plan.out_width:
        return None
    return make_plan(
        (plan.images, plan.groups * plan.outputs, plan.out_height, plan.out_width),
        (plan.images, plan.groups * plan.channels, plan.height, plan.width),
        (plan.kernel_h, plan.kernel_w), (1, 1), (pad_h, pad_w),
        (plan.dilation_h, plan.dilation_w), plan.groups,
    )  # fmt: skip


def scratch_size(plan: Plan) -> int:
    """Floats that the functions below need on the present number of threads."""
    back = rotated(plan)
    data = columns.need(plan) if back is None else _need(back)
    return room((_need(plan), data, weights.need(plan)))


# ---- the three products


def forward(
    plan: Plan, x: F32, weight: F32, bias: F32, y: F32, scratch: F32, slope: float = 1
) -> None:
    """y = W * x + bias; what is negative times the slope."""
    work, shared, each, threads = divide(scratch, _need(plan))
    bias0 = plan.groups * padded_rows(plan.outputs) * plan.depth
    work[bias0 : bias0 + bias.size] = bias
    _pack_filters(plan, weight.reshape(-1), _filters(plan), work)
    flat = x.reshape(-1), y.reshape(-1)
    _forward(plan, *flat, work, bias0, np.float32(slope), shared, each, threads)


def backward_data(plan: Plan, dy: F32, weight: F32, dx: F32, scratch: F32) -> None:
    """Overwrite dx."""
    back = rotated(plan)
    if back is None:
        columns.backward_data(plan, dy, weight, dx, scratch)
        return
    work, shared, each, threads = divide(scratch, _need(back))
    bias0 = back.groups * padded_rows(back.outputs) * back.depth
    work[bias0 : bias0 + back.groups * back.outputs] = 0
    _pack_filters(back, weight.reshape(-1), _rotated_filters(back), work)
    flat = dy.reshape(-1), dx.reshape(-1)
    _forward(back, *flat, work, bias0, np.float32(1), shared, each, threads)


def backward_weight(plan: Plan, x: F32, dy: F32, dweight: F32, scratch: F32) -> None:
    """Add to dweight."""
    weights.backward_weight(plan, x, dy, dweight, scratch)


class Filters(NamedTuple):
    """Where number (r, c, s) of the filter of an output is: start + the sum of index * step."""

    start: int
    group: int
    output: int
    r: int
    c: int
    s: int


def _filters(plan: Plan) -> Filters:
    """Those of a weight (O, C, kernel_h, kernel_w)."""
    taps = plan.kernel_h * plan.kernel_w
    return Filters(0, plan.outputs * plan.depth, plan.depth, plan.kernel_w, taps, 1)


def _rotated_filters(back: Plan) -> Filters:
    """Those of the convolution of dy that gives dx: rotated, and inputs and outputs change places.

    `back` is its plan; the weight is that of the forward one, (C, O, kernel_h, kernel_w) here.
    """
    taps = back.kernel_h * back.kernel_w
    group = back.outputs * back.depth
    return Filters(taps - 1, group, taps, -back.kernel_w, back.outputs * taps, -1)


@kernel
def _pack_filters(plan: Plan, weight: F32, at: Filters, out: F32) -> None:
    """W of each group in panels, K deep, k = (r, c, s)."""
    rows = padded_rows(plan.outputs)
    for row in prange(plan.groups * rows):
        group, o = row // rows, row % rows
        first, height = panel_of(o, plan.outputs)
        if o > first:
            continue  # the panel's first row packs them all
        count = min(height, plan.outputs - first)
        source = at.start + group * at.group + first * at.output
        to = (group * rows + first) * plan.depth
        for r in range(plan.kernel_h):
            for c in range(plan.channels):
                for i in range(height):
                    tap = source + min(i, count - 1) * at.output + r * at.r + c * at.c
                    for s in range(plan.kernel_w):
                        out[to + s * height + i] = weight[tap + s * at.s]
                to += plan.kernel_w * height


@inner
def _pack_columns(
    plan: Plan, image: F32, image0: int, block: int, first: int, last: int, out: F32, out0: int
) -> None:
    """Write rows [first, last) of col for a block of places, PITCH floats a row.

    Run by run, a run for all rows. Whole vectors are copied: what one has beyond the end of its run
    is overwritten by the next run, or means nothing.
    """
    begin = plan.run_place[plan.first_run[block]]
    for run in range(plan.first_run[block], plan.first_run[block + 1]):
        source, to = image0 + plan.run_from[run], out0 + plan.run_place[run] - begin
        vectors = (plan.run_count[run] + LANES - 1) // LANES
        if vectors == 1:
            _copy_vectors(1, plan.taps, first, last, image, source, out, to)
        elif vectors == 2:
            _copy_vectors(2, plan.taps, first, last, image, source, out, to)
        elif vectors == 4:
            _copy_vectors(4, plan.taps, first, last, image, source, out, to)
        elif vectors == 8 * VECTORS:
            _copy_vectors(8 * VECTORS, plan.taps, first, last, image, source, out, to)
        else:
            _copy_vectors(vectors, plan.taps, first, last, image, source, out, to)


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
def _forward(
    plan: Plan, x: F32, y: F32, work: F32, bias0: int, slope: np.float32, shared: int, each: int,
    threads: int,
) -> None:  # fmt: skip
    filters = padded_rows(plan.outputs) * plan.depth
    deep = depth_block(plan.depth)
    items = plan.images * plan.groups
    blocks = (plan.places + BLOCK - 1) // BLOCK
    tasks = items * blocks
    row_blocks = (plan.outputs + ROW_BLOCK - 1) // ROW_BLOCK
    parts = min(row_blocks, (threads + tasks - 1) // tasks)  # of the outputs, where tasks are few
    tasks *= parts
    for thread in prange(threads):
        tile = shared + thread * each
        packed = tile + TILE
        unfolded = packed + PITCH * DEPTH_BLOCK + LANES
        item = -1
        for task in range(thread * tasks // threads, (thread + 1) * tasks // threads):
            # A vector may reach beyond the end of the image: the last is not read in place.
            beyond = (task // parts // blocks + 1) * plan.image + LANES
            in_place = not plan.unfolds and beyond <= x.size
            if item != task // parts // blocks:
                item = task // parts // blocks
                if not in_place:
                    unfold(plan, x, item * plan.image, work, unfolded)
            image, image0 = (x, item * plan.image) if in_place else (work, unfolded)
            part, block = task % parts, task // parts % blocks
            first_row, last_row = part * row_blocks // parts, (part + 1) * row_blocks // parts
            begin = block * BLOCK
            end = min(begin + BLOCK, plan.places)
            group = item % plan.groups
            y0 = item * plan.outputs * plan.places
            seen = taps_that_see(plan, begin, end)
            for start in range(0, plan.depth, deep):
                first, last = max(seen[0], start), min(seen[1], start + deep)
                _pack_columns(plan, image, image0, block, first, last, work, packed)
                for o in range(first_row * ROW_BLOCK, last_row * ROW_BLOCK, ROW_BLOCK):
                    for panel in range(begin, end, COLUMNS):
                        wide = min(COLUMNS, end - panel)
                        low, high = taps_that_see(plan, panel, panel + wide)
                        low, high = max(low, start), min(high, start + deep)
                        a = group * filters + o * plan.depth
                        multiply_packed(
                            high - low, PackedRows(work, a, plan.depth, low),
                            PackedColumns(
                                work, packed + panel - begin + (low - first) * PITCH, 0, int(PITCH)
                            ),
                            Column(work, bias0 + group * plan.outputs + o, 1),
                            Rows(
                                y, y0 + o * plan.places + panel, min(ROW_BLOCK, plan.outputs - o),
                                wide, plan.places,
                            ),
                            start > 0, work, tile,
                        )  # fmt: skip
            if slope != 1:
                for o in range(first_row * ROW_BLOCK, min(last_row * ROW_BLOCK, plan.outputs)):
                    at = y0 + o * plan.places
                    rectify_line(y[at + begin : at + end], slope)
