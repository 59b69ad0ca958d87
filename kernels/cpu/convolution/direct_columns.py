"""Backward to the images of a convolution of planes, by way of its columns.

    dcol (K, P) = W.T (K, O) @ dy (O, P)         dx[what tap k sees from place p] += dcol[k, p]

For convolutions with a stride, or without padding, where the way of direct.py would
multiply with margins. TAPS rows of dcol are made for BLOCK places at a time, and added to an
unfolded dx (unfolded.py), vector by vector, before the next are: dcol stays in the second-level
cache. 2 N O P K operations, and N P K additions. Threads share images.
"""

import numpy as np
from numba import prange
from numpy.typing import NDArray

from .._compile.jit import inner, jitable, kernel
from .._vector.instructions import LANES, ROWS
from .._vector.lanes import add_lanes, fill_line
from .._vector.scratch import Need, divide
from ..gemm.matrix import Column, PackedColumns, PackedRows, Rows, Vectors
from ..gemm.micro_kernel import COLUMNS
from ..gemm.packing import depth_block, multiply_packed, pack, padded_rows, panel_of
from .unfolded import BLOCK, PITCH, Plan, filter_at, fold

F32 = NDArray[np.float32]

TAPS = 8 * ROWS  # at a time
TILE = ROWS * COLUMNS


def need(plan: Plan) -> Need:
    """Floats of scratch: packed filters, and columns, gradients and an unfolded dx a thread."""
    filters = plan.groups * _padded_taps(plan.depth) * plan.outputs
    return filters + 1, TILE + PITCH * TAPS + BLOCK * plan.outputs + plan.unfolded


def backward_data(plan: Plan, dy: F32, weight: F32, dx: F32, scratch: F32) -> None:
    """Overwrite dx."""
    work, shared, each, threads = divide(scratch, need(plan))
    zero = plan.groups * _padded_taps(plan.depth) * plan.outputs
    work[zero] = 0
    _pack_transposed_filters(plan, weight.reshape(-1), work)
    _backward_data(plan, dy.reshape(-1), dx.reshape(-1), work, zero, shared, each, threads)


@jitable
def _padded_taps(taps: int) -> int:
    """The rows of W.T when it is packed in blocks of TAPS rows."""
    whole = (taps - 1) // TAPS * TAPS
    return whole + padded_rows(taps - whole)


@kernel
def _pack_transposed_filters(plan: Plan, weight: F32, out: F32) -> None:
    """W.T of each group in panels, O deep, in blocks of TAPS rows, in the order (r, s, c)."""
    rows = _padded_taps(plan.depth)
    for row in prange(plan.groups * rows):
        group, k = row // rows, row % rows
        block = k // TAPS * TAPS
        first, height = panel_of(k - block, min(plan.depth - block, TAPS))
        to = (group * rows + block + first) * plan.outputs + k - block - first
        rs, c = divmod(min(k, plan.depth - 1), plan.channels)
        at = filter_at(plan, group, 0, rs // plan.kernel_w, c, rs % plan.kernel_w)
        for o in range(plan.outputs):
            out[to + o * height] = weight[at + o * plan.depth]


@kernel
def _backward_data(
    plan: Plan, dy: F32, dx: F32, work: F32, zero: int, shared: int, each: int, threads: int
) -> None:
    filters = _padded_taps(plan.depth) * plan.outputs
    deep = depth_block(plan.outputs)
    items = plan.images * plan.groups
    for thread in prange(threads):
        tile = shared + thread * each
        columns = tile + TILE
        packed = columns + PITCH * TAPS
        unfolded = packed + BLOCK * plan.outputs
        for item in range(thread * items // threads, (thread + 1) * items // threads):
            fill_line(plan.unfolded, np.float32(0), work, unfolded)
            for begin in range(0, plan.places, BLOCK):
                wide = min(BLOCK, plan.places - begin)
                dy0 = item * plan.outputs * plan.places + begin
                rows = plan.outputs
                gradients = Vectors(dy, dy0, 1, plan.places)
                pack(gradients, wide, rows, int(COLUMNS), work, packed, rows)
                for k in range(0, plan.depth, TAPS):
                    count = min(TAPS, plan.depth - k)
                    a = item % plan.groups * filters + k * plan.outputs
                    for start in range(0, plan.outputs, deep):
                        multiply_packed(
                            min(deep, plan.outputs - start),
                            PackedRows(work, a, plan.outputs, start),
                            PackedColumns(
                                work, packed + start * COLUMNS, COLUMNS * plan.outputs,
                                int(COLUMNS),
                            ),
                            Column(work, zero, 0), Rows(work, columns, count, wide, int(PITCH)),
                            start > 0, work, tile,
                        )  # fmt: skip
                    for i in range(count):
                        to = unfolded + plan.taps_by_channel[k + i]
                        _add_row(plan, work, columns + i * PITCH, begin // BLOCK, work, to)
            fold(plan, work, unfolded, dx, item * plan.image)


@inner
def _add_row(plan: Plan, col: F32, col0: int, block: int, image: F32, image0: int) -> None:
    """Add a block of places of a row of col to the unfolded image that its tap sees."""
    begin = plan.run_place[plan.first_run[block]]
    for run in range(plan.first_run[block], plan.first_run[block + 1]):
        source, to = col0 + plan.run_place[run] - begin, image0 + plan.run_from[run]
        count = plan.run_count[run]
        whole = count // LANES * LANES
        for at in range(0, whole, LANES):
            add_lanes(int(LANES), col, source + at, image, to + at)
        if whole < count:
            add_lanes(count - whole, col, source + whole, image, to + whole)
