"""Convolution with filters of 1 x 1: a product of matrices, over the pixels of all images.

    y (O, N P) = W (O, C) @ x (C, N P)         dx (C, N P) = W.T (C, O) @ dy (O, N P)      a group

Both are C = A B with the images joined. One by one, maps of 7 x 7 would fill three quarters of
their panels of COLUMNS pixels, and all filters would be read for every image. From the outside in:

    for each block of WIDE columns
        for each block of DEPTH_BLOCK rows of B        copied line by line, stays in L2
            for each block of ROW_BLOCK rows of A      packed beforehand; comes from L3, stays in L2
                for each panel of COLUMNS columns      its part of B stays in L1
                    for each tile of ROWS rows         micro-kernel

With a stride, the pixels that filters see are picked out of B while it is copied; or the gaps
between the pixels of C are filled with zeros when its sums are complete, for which they are kept in
a buffer. So are panels that have pixels of two images: a tile of sums must be written in one piece.

2 N P C O operations. Of memory, B is read once, and C written once, and read and written again
for every further block of rows of B.

For backward to the weights see direct_weights.py.

Threads share blocks of columns, and blocks of rows where these are few. The order of every sum is
the same for every number of threads.
"""

from functools import lru_cache
from typing import NamedTuple

import numpy as np
from numba import prange
from numpy.typing import NDArray

from .._compile.jit import inlined, inner, jitable, kernel
from .._vector.instructions import LANES, ROWS
from .._vector.lanes import collect_lanes, copy_lanes, copy_line, fill_line
from .._vector.scratch import CACHE_LINE, Need, Scratch, divide, room
from ..gemm.matrix import Column, PackedColumns, PackedRows, Rows, Vectors
from ..gemm.micro_kernel import COLUMNS
from ..gemm.packing import (
    DEPTH_BLOCK,
    ROW_BLOCK,
    depth_block,
    multiply_packed,
    pack_rows,
    padded_rows,
)
from . import direct_weights
from .plan import Plan, Sizes

F32 = NDArray[np.float32]

WIDE = 224  # columns at a time; eight maps of 14 x 14, and maps of 56 x 56, are whole blocks
PITCH = WIDE + CACHE_LINE  # floats of a line of packed B: odd in cache lines (unfolded.py)
TILE = ROWS * COLUMNS
ZERO = np.float32(0)


class Side(NamedTuple):
    """Where B or C has its numbers: k * map + i * line + j * step, for pixel (i, j) of an image.

    Where pixels follow each other without a gap, they are one line.
    """

    image: int  # floats of a group's part of an image
    map: int  # floats of a channel
    lines: int  # lines of pixels
    length: int  # pixels of a line
    line: int
    step: int


class Product(NamedTuple):
    """The sizes of C (rows, images * pixels) = A (rows, depth) @ B (depth, ...) for each group."""

    images: int
    groups: int
    pixels: int
    rows: int
    depth: int
    b: Side
    c: Side


def serves(sizes: Sizes) -> bool:
    """Whether a convolution is one that this file does."""
    return (sizes.kernel_h, sizes.kernel_w, sizes.pad_h, sizes.pad_w) == (1, 1, 0, 0)


@lru_cache(maxsize=256)
def _products(sizes: Sizes) -> tuple[Product, Product]:
    """The sizes of forward, and of backward to the images."""
    n, groups, pixels = sizes.images, sizes.groups, sizes.pixels
    x, y = _sides(sizes)
    return (
        Product(n, groups, pixels, sizes.outputs, sizes.channels, x, y),
        Product(n, groups, pixels, sizes.channels, sizes.outputs, y, x),
    )


def _sides(sizes: Sizes) -> tuple[Side, Side]:
    """How the images and the outputs lie in memory."""
    pixels = sizes.pixels
    y = Side(sizes.outputs * pixels, pixels, 1, pixels, pixels, 1)
    if sizes.height * sizes.width == pixels:
        return Side(sizes.image, pixels, 1, pixels, pixels, 1), y
    x = Side(
        sizes.image, sizes.height * sizes.width, sizes.out_height, sizes.out_width,
        sizes.stride_h * sizes.width, sizes.stride_w,
    )  # fmt: skip
    return x, y


@lru_cache(maxsize=256)
def _need(p: Product) -> Need:
    """Floats of scratch: packed A and its start; packed B and the panels of edges a thread."""
    edges = (WIDE // p.pixels + 2) * COLUMNS if p.c.map == p.pixels else WIDE
    each = TILE + PITCH * min(DEPTH_BLOCK, p.depth) + min(edges, WIDE) * p.rows
    return _packed_size(p) + p.groups * p.rows + ROWS, each


@jitable
def _packed_size(p: Product) -> int:
    """Floats of packed A; the start of the sums follows."""
    return p.groups * padded_rows(p.rows) * p.depth


def scratch_size(plan: Plan) -> int:
    """Floats that the functions below need on the present number of threads."""
    return room((*map(_need, _products(plan.sizes)), direct_weights.need(plan.sizes)))


def forward(
    plan: Plan, x: F32, weight: F32, bias: F32, y: F32, scratch: F32, kept: bool | None = None
) -> None:
    """y = W * x + bias."""
    p = _products(plan.sizes)[0]
    _run(p, weight, p.depth, 1, bias, x, y, scratch, kept)


def backward_data(
    plan: Plan, dy: F32, weight: F32, dx: F32, scratch: F32, kept: bool | None = None
) -> None:
    """Overwrite dx."""
    p = _products(plan.sizes)[1]
    _run(p, weight, 1, p.rows, None, dy, dx, scratch, kept)


def backward_weight(plan: Plan, x: F32, dy: F32, dweight: F32, scratch: F32) -> None:
    """Add to dweight."""
    direct_weights.backward_weight(plan.sizes, x, dy, dweight, scratch)


def _run(
    p: Product, a: F32, a_step: int, a_k: int, start: F32 | None, b: F32, c: F32, scratch: F32,
    kept: bool | None,
) -> None:  # fmt: skip
    work = divide(scratch, _need(p))
    if not kept:
        start0 = _packed_size(p)
        work.floats[start0 : start0 + p.groups * p.rows] = 0 if start is None else start
        _pack_a(p, a.reshape(-1), a_step, a_k, work.floats)
    _multiply(p, b.reshape(-1), c.reshape(-1), work)


@kernel
def _pack_a(p: Product, a: F32, a_step: int, a_k: int, out: F32) -> None:
    """Pack A of each group: blocks of ROW_BLOCK rows, in these blocks of their depth, panels."""
    deep = depth_block(p.depth)
    blocks = (p.rows + ROW_BLOCK - 1) // ROW_BLOCK
    depths = (p.depth + deep - 1) // deep
    for task in prange(p.groups * blocks * depths):
        group, i = task // depths // blocks, task // depths % blocks * ROW_BLOCK
        k = task % depths * deep
        rows, depth = min(ROW_BLOCK, p.rows - i), min(deep, p.depth - k)
        to = (group * padded_rows(p.rows) + i) * p.depth + padded_rows(rows) * k
        source = group * p.rows * p.depth + i * a_step + k * a_k
        pack_rows(Vectors(a, source, a_step, a_k), rows, depth, out, to, depth, 0)


@kernel
def _multiply(p: Product, b: F32, c: F32, work: Scratch) -> None:
    memory, starts = work.floats, _packed_size(p)
    deep = depth_block(p.depth)
    columns = p.images * p.pixels
    blocks = (columns + WIDE - 1) // WIDE
    row_blocks = (p.rows + ROW_BLOCK - 1) // ROW_BLOCK
    parts = min(row_blocks, (work.threads + p.groups * blocks - 1) // (p.groups * blocks))
    tasks = p.groups * blocks * parts
    gaps = p.c.map > p.pixels
    kept = WIDE if gaps else COLUMNS  # columns that have a buffer together
    for thread in prange(work.threads):
        tile = work.shared + thread * work.each
        packed = tile + TILE
        edges = packed + PITCH * min(DEPTH_BLOCK, p.depth)
        for task in range(thread * tasks // work.threads, (thread + 1) * tasks // work.threads):
            part, block, group = task % parts, task // parts % blocks, task // parts // blocks
            first_row = part * row_blocks // parts * ROW_BLOCK
            last_row = min((part + 1) * row_blocks // parts * ROW_BLOCK, p.rows)
            begin = _first_column(block, blocks, columns)
            end = min(_first_column(block + 1, blocks, columns), columns)
            c0 = group * p.c.image
            for k in range(0, p.depth, deep):
                depth = min(deep, p.depth - k)
                _pack_b(p, b, group, k, depth, begin, end, memory, packed)
                for row in range(first_row, last_row, ROW_BLOCK):
                    rows = min(ROW_BLOCK, p.rows - row)
                    a0 = (group * padded_rows(p.rows) + row) * p.depth + padded_rows(rows) * k
                    edge = edges
                    for column in range(begin, end, COLUMNS):
                        n, pixel = column // p.pixels, column % p.pixels
                        if gaps:
                            to, to_step, target = edges + row * WIDE + column - begin, WIDE, memory
                        elif pixel + COLUMNS > p.pixels:
                            to, to_step, target = edge + row * COLUMNS, COLUMNS, memory
                            edge += p.rows * COLUMNS
                        else:
                            to = c0 + (n * p.groups * p.c.image + row * p.c.map + pixel)
                            to_step, target = p.c.map, c
                        multiply_packed(
                            depth, PackedRows(memory, a0, depth, 0),
                            PackedColumns(memory, packed + column - begin, 0, int(PITCH)),
                            Column(memory, starts + group * p.rows + row, 1),
                            Rows(target, to, rows, int(COLUMNS), to_step), k > 0, memory, tile,
                        )  # fmt: skip
            edge = edges
            for column in range(begin, end, kept):
                if gaps or column % p.pixels + COLUMNS > p.pixels:
                    last = min(column + kept, end)
                    _write(p, memory, edge, kept, first_row, last_row, column, last, c, c0)
                    edge += p.rows * kept


@inlined
def _first_column(block: int, blocks: int, columns: int) -> int:
    """Where a block of columns begins, of blocks as large as each other: at a whole panel."""
    return (block * columns + blocks * COLUMNS - 1) // (blocks * COLUMNS) * COLUMNS


@inner
def _pack_b(
    p: Product, b: F32, group: int, first: int, depth: int, begin: int, end: int,
    out: F32, out0: int,
) -> None:  # fmt: skip
    """Copy columns [begin, end) of so many rows of B, PITCH floats a row.

    Run by run, a run for all rows. Whole vectors are copied: what one has beyond the end of its run
    is overwritten by the next run, or means nothing.
    """
    column = begin
    while column < end:
        line, j = column // p.b.length, column % p.b.length
        count = min(p.b.length - j, end - column)
        source = (line // p.b.lines * p.groups + group) * p.b.image + first * p.b.map
        source += line % p.b.lines * p.b.line + j * p.b.step
        to = out0 + column - begin
        vectors = (count + LANES - 1) // LANES * LANES
        # Not beyond the end of the array: the last rows are copied number by number.
        smooth = (b.size - source - vectors * p.b.step) // p.b.map + 1
        for row in range(depth):
            if row >= smooth:
                copy_line(count, b, source, p.b.step, out, to)
            elif p.b.step == 1:
                for v in range(0, vectors, LANES):
                    copy_lanes(b, source + v, out, to + v)
            else:
                for v in range(0, vectors, LANES):
                    collect_lanes(b, source + v * p.b.step, p.b.step, out, to + v)
            source += p.b.map
            to += PITCH
        column += count


@inner
def _write(
    p: Product, sums: F32, sums0: int, pitch: int, first: int, last: int, begin: int, end: int,
    c: F32, c0: int,
) -> None:  # fmt: skip
    """Write rows [first, last), columns [begin, end) of C; with a stride, zeros between them.

    The sums of a row are `pitch` floats from those of the row before.
    """
    first_line, first_pixel = begin // p.c.length, begin % p.c.length
    for row in range(first, last):
        source, line, j = sums0 + row * pitch, first_line, first_pixel
        beyond = source + end - begin
        while source < beyond:
            i = line % p.c.lines
            at = c0 + line // p.c.lines * p.groups * p.c.image + row * p.c.map + i * p.c.line
            count = min(p.c.length - j, beyond - source)
            if p.c.map > p.pixels:
                # The gap after the last number ends with the next line, or with the map.
                full = p.c.line if i + 1 < p.c.lines else p.c.map - i * p.c.line
                span = (full if j + count == p.c.length else (j + count) * p.c.step) - j * p.c.step
                fill_line(span, ZERO, c, at + j * p.c.step)
            for v in range(count):
                c[at + (j + v) * p.c.step] = sums[source + v]
            source += count
            line += 1
            j = 0
