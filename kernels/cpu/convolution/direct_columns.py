"""Backward to the images of a convolution of planes, by way of its columns.

    dcol (K, P) = W.T (K, O) @ dy (O, P)         dx[what tap k sees from pixel p] += dcol[k, p]

For convolutions with a stride, or without padding, where the way of direct.py would multiply with
zeros around dy. TAPS rows of dcol are made for BLOCK pixels at a time, and added to an unfolded dx
(unfolded.py), vector by vector, before the next are: dcol stays in the second-level cache.
2 N O P K operations, and N P K additions. Threads share images.
"""

from functools import lru_cache

import numpy as np
from numba import prange
from numpy.typing import NDArray

from .._compile.jit import inner, jitable, kernel
from .._vector.instructions import LANES, ROWS
from .._vector.lanes import add_lanes, fill_line
from .._vector.scratch import Need, Scratch, divide
from ..gemm.matrix import Column, PackedColumns, PackedRows, Rows, Vectors
from ..gemm.micro_kernel import COLUMNS
from ..gemm.packing import depth_block, multiply_packed, pack, padded_rows, panel_of
from .plan import Sizes
from .unfolded import BLOCK, PITCH, Unfolding, filter_at, fold, unfolding

F32 = NDArray[np.float32]

TAPS = 8 * ROWS  # at a time
TILE = ROWS * COLUMNS


@lru_cache(maxsize=256)
def need(sizes: Sizes) -> Need:
    """Floats of scratch: packed filters, and columns, gradients and an unfolded dx a thread."""
    each = TILE + PITCH * TAPS + BLOCK * sizes.outputs + unfolding(sizes).floats
    return _filters_size(sizes) + 1, each


def backward_data(
    sizes: Sizes, dy: F32, weight: F32, dx: F32, scratch: F32, kept: bool | None
) -> None:
    """Overwrite dx."""
    work = divide(scratch, need(sizes))
    if not kept:
        work.floats[_filters_size(sizes)] = 0
        _pack_transposed_filters(sizes, weight.reshape(-1), work.floats)
    _backward_data(sizes, unfolding(sizes), dy.reshape(-1), dx.reshape(-1), work)


@jitable
def _filters_size(sizes: Sizes) -> int:
    """Floats of the packed filters; a zero follows."""
    return sizes.groups * _padded_taps(sizes.depth) * sizes.outputs


@jitable
def _padded_taps(taps: int) -> int:
    """The rows of W.T when it is packed in blocks of TAPS rows."""
    whole = (taps - 1) // TAPS * TAPS
    return whole + padded_rows(taps - whole)


@kernel
def _pack_transposed_filters(sizes: Sizes, weight: F32, out: F32) -> None:
    """W.T of each group in panels, O deep, in blocks of TAPS rows, in the order (r, s, c)."""
    rows = _padded_taps(sizes.depth)
    for row in prange(sizes.groups * rows):
        group, k = row // rows, row % rows
        block = k // TAPS * TAPS
        first, height = panel_of(k - block, min(sizes.depth - block, TAPS))
        to = (group * rows + block + first) * sizes.outputs + k - block - first
        rs, c = divmod(min(k, sizes.depth - 1), sizes.channels)
        at = filter_at(sizes, group, 0, rs // sizes.kernel_w, c, rs % sizes.kernel_w)
        for o in range(sizes.outputs):
            out[to + o * height] = weight[at + o * sizes.depth]


@kernel
def _backward_data(sizes: Sizes, u: Unfolding, dy: F32, dx: F32, work: Scratch) -> None:
    memory, zero = work.floats, _filters_size(sizes)
    filters = _padded_taps(sizes.depth) * sizes.outputs
    deep = depth_block(sizes.outputs)
    items = sizes.images * sizes.groups
    for thread in prange(work.threads):
        tile = work.shared + thread * work.each
        columns = tile + TILE
        packed = columns + PITCH * TAPS
        unfolded = packed + BLOCK * sizes.outputs
        for item in range(thread * items // work.threads, (thread + 1) * items // work.threads):
            fill_line(u.floats, np.float32(0), memory, unfolded)
            for begin in range(0, sizes.pixels, BLOCK):
                wide = min(BLOCK, sizes.pixels - begin)
                dy0 = item * sizes.outputs * sizes.pixels + begin
                rows = sizes.outputs
                gradients = Vectors(dy, dy0, 1, sizes.pixels)
                pack(gradients, wide, rows, int(COLUMNS), memory, packed, rows)
                for k in range(0, sizes.depth, TAPS):
                    count = min(TAPS, sizes.depth - k)
                    a = item % sizes.groups * filters + k * sizes.outputs
                    for start in range(0, sizes.outputs, deep):
                        b, panel_step = packed + start * COLUMNS, COLUMNS * sizes.outputs
                        multiply_packed(
                            min(deep, sizes.outputs - start),
                            PackedRows(memory, a, sizes.outputs, start),
                            PackedColumns(memory, b, panel_step, int(COLUMNS)),
                            Column(memory, zero, 0), Rows(memory, columns, count, wide, int(PITCH)),
                            start > 0, memory, tile,
                        )  # fmt: skip
                    for i in range(count):
                        to = unfolded + u.taps_by_channel[k + i]
                        _add_row(u, memory, columns + i * PITCH, begin // BLOCK, to)
            fold(sizes, u, memory, unfolded, dx, item * sizes.image)


@inner
def _add_row(u: Unfolding, memory: F32, col: int, block: int, image: int) -> None:
    """Add a block of pixels of a row of col to the unfolded image that its tap sees."""
    begin = u.run_pixel[u.first_run[block]]
    for run in range(u.first_run[block], u.first_run[block + 1]):
        source, to = col + u.run_pixel[run] - begin, image + u.run_from[run]
        count = u.run_count[run]
        whole = count // LANES * LANES
        for at in range(0, whole, LANES):
            add_lanes(int(LANES), memory, source + at, memory, to + at)
        if whole < count:
            add_lanes(count - whole, memory, source + whole, memory, to + whole)
