"""The three products of a convolution as one kernel: an implicit GEMM in tiles of shared memory.

    forward     y[o, place]   = sum over taps     W[o, tap]    x[tap + place]
    data        dx[c, pixel]  = sum over o, taps  W[o, c, tap] dy[tap + pixel]
    weight      dW[o, tap]    = sum over places   dy[o, place] x[tap + place]

C = A B. Rows of A and of C are apart by one distance; all else is in rows of `geometry.py`, one for
each number along the depth and one for each column. Those of the block's columns are written to
shared memory once, those of the depth a step ahead, by 8 threads: a number of B costs an addition
and a comparison an axis, and no division. Nothing like im2col's matrix is written.

The images' gradient is taken phase by phase: pixels that are the same modulo the stride are reached
by the same taps, so that none is multiplied in vain. The filters' gradient is cut along its depth
into parts (`_parts.py`), each a matrix in the scratch.
"""

from functools import cache
from typing import Any

from .._compile.jit import Kernel, inner, kernel
from .._compile.words import F32, blockIdx, local, shared, syncthreads, threadIdx
from .._tiles import STEP, THREADS, Tile, multiply, places
from . import geometry
from .geometry import COUNT, OTHER, OWN, PIXELS, POSITION, STRIDE

FORWARD, DATA, WEIGHT = range(3)
FAR = -(2**30)  # a position that is outside, whatever is added to it
A_ROW, A_GROUP, B_GROUP, C_ROW, C_GROUP, SIDES = range(6)  # of `apart`: how far apart things lie
SIDE = THREADS // STEP  # rows of a panel that the block loads together, 8 numbers of each


@cache
def product(which: int, axes: int, tile: Tile) -> Kernel:
    """One of the products, for images with so many axes."""
    is_data, along_depth, each = which == DATA, which == WEIGHT, tile.each
    width = max(4, POSITION + axes)  # of a row: 16 bytes are one load
    tile_rows, tile_columns, (a_size, b_size) = tile.rows, tile.columns, tile.sizes
    a_loads, b_loads = tile.rows // SIDE, tile.columns // SIDE
    write_of_depth, write_of_column = _rows(which, axes)
    enter_phase, load, store = _phase(axes), _load(which, axes, tile), _store(which, tile)
    multiply_panels, write_result = multiply(tile), _write_result(tile)

    @kernel
    def convolve(
        a: F32, b: F32, bias: F32 | None, c: F32, sizes: Any, layers: Any, apart: Any, how: Any
    ) -> None:
        t = threadIdx.x
        (height, columns, depth), (across, parts, share, part_size) = sizes, layers
        row, column = blockIdx.y * tile_rows, blockIdx.x % across * tile_columns
        part, group = blockIdx.x // across % parts, blockIdx.x // (across * parts)
        begin, end = 0, depth
        phase = shared((axes, 8), int)
        if is_data:
            enter_phase(part, phase, how)
            for axis in range(axes):
                columns *= phase[axis, PIXELS]
                end *= phase[axis, COUNT]
            if column >= columns:
                return
        elif along_depth:
            begin, end = part * share, min(depth, (part + 1) * share)
        a_panel, b_panel = shared(a_size), shared(b_size)
        of_depth, of_columns = shared((2, STEP, width), int), shared((tile_columns, width), int)
        if t < tile_columns:
            write_of_column(column + t, columns, of_columns[t], how, phase)
        if t < STEP:
            write_of_depth(begin + t, end, of_depth[0, t], how, phase)
        syncthreads()
        a_next, b_next, total = local(a_loads), local(b_loads), local((each, each))
        for r in range(each):
            for s in range(each):
                total[r, s] = 0.0
        slot = 0  # of the panels that are written; the others are multiplied
        for k in range(begin, end + STEP, STEP):
            if k < end:
                where = group, row, height, end - k
                load(a, b, a_next, b_next, of_depth[slot], of_columns, apart, where)
            if k > begin:
                multiply_panels(a_panel, b_panel, 1 - slot, total)
            if k < end:
                store(a_next, b_next, a_panel, b_panel, slot)
                if t < STEP:
                    write_of_depth(k + STEP + t, end, of_depth[1 - slot, t], how, phase)
            syncthreads()
            slot = 1 - slot
        result = group * apart[C_GROUP] + part * part_size, row, height, columns - column
        write_result(total, bias, group * height, c, of_columns, apart[C_ROW], result)

    return convolve


@cache
def _rows(which: int, axes: int) -> tuple[Any, Any]:
    """Writers of the rows of the depth and of the columns: `write(k, end, row, how, phase)`."""
    taps, places = geometry.taps(axes), geometry.places(axes)
    if which == DATA:
        taps, places = geometry.taps_of_phase(axes), geometry.pixels_of_phase(axes)
    first, second = (places, taps) if which == WEIGHT else (taps, places)
    return _or_far(axes, first), _or_far(axes, second)


def _or_far(axes: int, write_row: Any) -> Any:
    @inner
    def write(k: int, end: int, row: Any, how: Any, phase: Any) -> None:
        """The row of k, or one that is outside everything."""
        if k < end:
            write_row(k, row, how, phase)
        else:
            row[OWN], row[OTHER] = 0, 0
            for axis in range(axes):
                row[POSITION + axis] = FAR

    return write


@cache
def _phase(axes: int) -> Any:
    write_phase = geometry.phases(axes)

    @inner
    def enter_phase(number: int, phase: Any, how: Any) -> None:
        """Write what the phase of a number is, a thread for each axis."""
        for axis in range(axes - 1, -1, -1):
            stride = how[STRIDE][axis]
            if threadIdx.x == axis:
                write_phase(axis, number % stride, phase[axis], how)
            number = number // stride
        syncthreads()

    return enter_phase


@cache
def _load(which: int, axes: int, tile: Tile) -> Any:
    along_depth, width, columns = which == WEIGHT, POSITION + axes, tile.columns
    a_loads, b_loads, step_of_b = tile.rows // SIDE, columns // SIDE, THREADS // columns

    @inner
    def load(
        a: F32, b: F32, a_next: F32, b_next: F32, of_depth: Any, of_columns: Any, apart: Any,
        where: Any,
    ) -> None:  # fmt: skip
        """A thread's numbers of the next panels: those of A along the depth, those of B along the
        side on which its neighbours lie side by side in memory."""
        group, row, height, left = where
        i, p = threadIdx.x // STEP, threadIdx.x % STEP
        begin = group * apart[A_GROUP] + (row + i) * apart[A_ROW] + of_depth[p, OWN]
        for e in range(a_loads):
            inside = row + i + e * SIDE < height and p < left
            a_next[e] = a[begin + e * SIDE * apart[A_ROW]] if inside else 0.0
        fixed = local(width, int)
        for q in range(OTHER, width):
            fixed[q] = of_depth[p, q] if along_depth else of_columns[threadIdx.x % columns, q]
        for e in range(b_loads):
            if along_depth:
                other = of_columns[i + e * SIDE]
            else:
                other = of_depth[threadIdx.x // columns + e * step_of_b]
            inside = True
            for axis in range(axes):
                place = fixed[POSITION + axis] + other[POSITION + axis]
                inside = inside and 0 <= place < apart[SIDES][axis]
            at = group * apart[B_GROUP] + fixed[OTHER] + other[OTHER]
            b_next[e] = b[at] if inside else 0.0

    return load


@cache
def _store(which: int, tile: Tile) -> Any:
    along_depth, columns = which == WEIGHT, tile.columns
    a_loads, b_loads, step_of_b = tile.rows // SIDE, columns // SIDE, THREADS // columns
    a_pitch, b_pitch = tile.pitch

    @inner
    def store(a_next: F32, b_next: F32, a_panel: F32, b_panel: F32, slot: int) -> None:
        """What `load` has found, into the panels of a slot."""
        i, p = threadIdx.x // STEP, threadIdx.x % STEP
        for e in range(a_loads):
            a_panel[(slot * STEP + p) * a_pitch + i + e * SIDE] = a_next[e]
        for e in range(b_loads):
            if along_depth:
                b_panel[(slot * STEP + p) * b_pitch + i + e * SIDE] = b_next[e]
            else:
                q, j = threadIdx.x // columns + e * step_of_b, threadIdx.x % columns
                b_panel[(slot * STEP + q) * b_pitch + j] = b_next[e]

    return store


@cache
def _write_result(tile: Tile) -> Any:
    each, (row_of, column_of) = tile.each, places(tile)

    @inner
    def write_result(
        total: F32, bias: F32 | None, first_bias: int, c: F32, of_columns: Any, c_row: int,
        where: Any,
    ) -> None:  # fmt: skip
        """A thread's part of C, and the bias of its rows."""
        begin, row, height, left = where
        for s in range(each):
            j = column_of(s)
            if j < left:
                at = begin + of_columns[j, OWN]
                for r in range(each):
                    i = row + row_of(r)
                    if i < height:
                        value = total[r, s]
                        if bias is not None:
                            value += bias[first_bias + i]
                        c[at + i * c_row] = value

    return write_result
