"""Panels: matrices copied into the order in which the micro-kernel reads them.

A panel of A holds ROWS rows, for each k one after the other: number k of row i is at k * ROWS + i.
A panel of B holds COLUMNS columns in the same way. What the micro-kernel reads is then contiguous,
whether the matrix was transposed or not, and a panel of B, DEPTH_BLOCK deep, fills two thirds of a
first-level cache. Packing reads and writes each number once.

Rows are packed in blocks of ROW_BLOCK, which stay in the second-level cache. A block is cut into
panels of ROWS rows and, at its end, at most two of LOW_ROWS; either way the panel of row i begins
at i times the depth. Panels that stick out of the matrix are filled with zeros, and their tiles go
through a small buffer.
"""

import numpy as np
from numpy.typing import NDArray

from .._compile.jit import inlined, inner, jitable, shared
from .._vector.instructions import LANES, LOW_ROWS, ROWS
from .._vector.lanes import copy_lanes, copy_line, transpose_lanes
from .matrix import Column, PackedColumns, PackedRows, Rows, Vectors
from .micro_kernel import COLUMNS, multiply_low, multiply_tall

F32 = NDArray[np.float32]

DEPTH_BLOCK = 320
ROW_BLOCK = 24 * ROWS
SHORT_SUM = 64
AT_ONCE = 256  # numbers of a row of a matrix, 1 KB, that are read for each k: a page is far away


@jitable
def depth_block(k: int) -> int:
    """The depth of the blocks, about as large as each other, that the sum is cut into."""
    blocks = max((k + DEPTH_BLOCK - 1) // DEPTH_BLOCK, 1)
    return max((k + blocks - 1) // blocks, 1)


@jitable
def tall_rows(rows: int) -> int:
    """How many rows of a block go through tall tiles; the others go through low ones.

    With at most two low tiles, as few rows as possible that are not there.
    """
    fewest, tall = 2 * rows + ROWS, 0
    for low in range(3):
        rest = max(rows - low * LOW_ROWS, 0)
        high = (rest + ROWS - 1) // ROWS * ROWS
        if high + low * LOW_ROWS < fewest:
            fewest, tall = high + low * LOW_ROWS, high
    return tall


@jitable
def padded_rows(rows: int) -> int:
    """How many rows there are when blocks of ROW_BLOCK rows have been packed."""
    whole = max(rows - 1, 0) // ROW_BLOCK * ROW_BLOCK
    tall = tall_rows(rows - whole)
    low = max(rows - whole - tall, 0)
    return whole + tall + (low + LOW_ROWS - 1) // LOW_ROWS * LOW_ROWS


@inner
def panel_of(row: int, rows: int) -> tuple[int, int]:
    """The first row of the packed panel that has a row, and how many rows it has."""
    block = row // ROW_BLOCK * ROW_BLOCK
    tall = tall_rows(min(rows - block, ROW_BLOCK))
    if row < block + tall:
        return row // ROWS * ROWS, int(ROWS)
    low = row - block - tall
    return row - low % LOW_ROWS, int(LOW_ROWS)


@shared
def pack(
    vectors: Vectors, count: int, depth: int, width: int, out: F32, out0: int, deep: int
) -> None:
    """Pack `count` vectors of `depth` numbers into panels of `width`: ROWS for A, COLUMNS for B.

    Number k of vector i goes to out[out0 + first * deep + k * width + i - first], `first` being
    the first vector of its panel, and `deep` >= depth how deep panels are. The last panel is
    filled with zeros.
    """
    whole = count // width * width
    if vectors.k_step == 1:
        _pack_transposing(vectors, whole, depth, width, out, out0, deep)
    else:
        _pack_copying(vectors, whole, depth, width, out, out0, deep)
    if whole < count:
        to = out0 + whole * deep
        for k in range(depth):
            for i in range(width):
                at = vectors.start + (whole + i) * vectors.step + k * vectors.k_step
                number = vectors.values[at] if whole + i < count else np.float32(0)
                out[to + k * width + i] = number


@inlined
def _pack_copying(
    vectors: Vectors, count: int, depth: int, width: int, out: F32, out0: int, deep: int
) -> None:
    """Whole panels of a matrix whose vectors lie side by side.

    Where `width` is not a multiple of LANES a copy has a surplus: what it reads is in the matrix,
    except in the last row, and what it writes is overwritten by the copy for the next k. So the
    last row is copied number by number.
    """
    matrix = vectors.values
    group = AT_ONCE // width * width
    smooth = depth if width % LANES == 0 else depth - 1
    for first in range(0, count, group):
        last = min(first + group, count)
        for k in range(smooth):
            source = vectors.start + k * vectors.k_step
            for i in range(first, last, width):
                for lane in range(0, width, LANES):
                    copy_lanes(matrix, source + i + lane, out, out0 + i * deep + k * width + lane)
        for k in range(smooth, depth):
            source = vectors.start + k * vectors.k_step
            for i in range(first, last, width):
                for j in range(width):
                    out[out0 + i * deep + k * width + j] = matrix[source + i + j]


@inlined
def _pack_transposing(
    vectors: Vectors, count: int, depth: int, width: int, out: F32, out0: int, deep: int
) -> None:
    """Whole panels of a matrix whose vectors are contiguous, LANES by LANES numbers at once.

    Here too what is written beyond a row of the panel is overwritten, and the last row is copied
    number by number.
    """
    matrix, start, step = vectors.values, vectors.start, vectors.step
    smooth = (depth if width % LANES == 0 else depth - 1) // LANES * LANES
    for i in range(0, count, width):
        to = out0 + i * deep
        for k in range(0, smooth, LANES):
            for lane in range(0, width, LANES):
                source = start + (i + lane) * step + k
                high = min(LANES, width - lane)
                transpose_lanes(high, matrix, source, step, out, to + k * width + lane, width)
        for k in range(smooth, depth):
            for j in range(width):
                out[to + k * width + j] = matrix[start + (i + j) * step + k]


@shared
def pack_rows(a: Vectors, rows: int, depth: int, out: F32, out0: int, deep: int, k0: int) -> None:
    """Pack up to ROW_BLOCK rows of A into columns [k0, k0 + depth) of panels that are `deep` deep.

    The panel of row i begins at out0 + i * deep.
    """
    tall = min(tall_rows(rows), rows)
    pack(a, tall, depth, int(ROWS), out, out0 + k0 * ROWS, deep)
    if tall < rows:
        low = Vectors(a.values, a.start + tall * a.step, a.step, a.k_step)
        to = out0 + tall * deep + k0 * LOW_ROWS
        pack(low, rows - tall, depth, int(LOW_ROWS), out, to, deep)


@shared
def multiply_packed(
    depth: int, a: PackedRows, b: PackedColumns, start: Column, c: Rows, add: bool,
    tile: F32, tile0: int,
) -> None:  # fmt: skip
    """C += A B, or C = start + A B, both packed; C has up to ROW_BLOCK rows.

    `tile` has ROWS * COLUMNS floats of scratch from `tile0` on, where tiles are put together that
    stick out of C.

    Each panel of B, in the first-level cache, is used for all rows of A, and with each row of A a
    row of the next panel is asked for. But up to a depth of SHORT_SUM each panel of A is used for
    all columns of B: then a tile of C is read and written after few multiply-adds, and what counts
    is to do that along the lines of memory.
    """
    # Arrays are taken out of their tuples once: each time, a reference is counted.
    out = c.values
    a_values, b_values, starts = a.values, b.values, start.values
    tall = tall_rows(c.rows)
    along = depth <= SHORT_SUM
    next_panel = b.panel_step if b.panel_step > 0 else int(COLUMNS)
    i = j = 0
    while i < c.rows and j < c.columns:
        height = ROWS if i < tall else LOW_ROWS
        high, wide = min(height, c.rows - i), min(COLUMNS, c.columns - j)
        c_at = c.start + i * c.step + j
        whole = high == height and wide == COLUMNS
        to, to0, to_step = (out, c_at, c.step) if whole else (tile, tile0, int(COLUMNS))
        if add and not whole:
            for r in range(high):
                copy_line(wide, out, c_at + r * c.step, 1, tile, tile0 + r * COLUMNS)
        a_at = a.start + i * a.deep + a.skipped * height
        b_at = b.start + j // COLUMNS * b.panel_step
        next_at = b_at + next_panel + i * b.row_step
        start_at = start.start + i * start.step
        if height == ROWS:
            multiply_tall(
                depth, a_values, a_at, b_values, b_at, b.row_step, next_at,
                starts, start_at, start.step, to, to0, to_step, add,
            )  # fmt: skip
        else:
            multiply_low(
                depth, a_values, a_at, b_values, b_at, b.row_step, next_at,
                starts, start_at, start.step, to, to0, to_step, add,
            )  # fmt: skip
        if not whole:
            for r in range(high):
                copy_line(wide, tile, tile0 + r * COLUMNS, 1, out, c_at + r * c.step)
        if along:
            j += COLUMNS
            if j >= c.columns:
                i, j = i + height, 0
        else:
            i += height
            if i >= c.rows:
                i, j = 0, j + COLUMNS
