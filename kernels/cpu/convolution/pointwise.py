"""Convolution with filters of 1 x 1: a product of matrices, over the places of all images.

    y (O, N P) = W (O, C) @ x (C, N P)         dx (C, N P) = W.T (C, O) @ dy (O, N P)      a group

Both are C = A B with the images joined. One by one, maps of 7 x 7 would fill three quarters of
their panels of COLUMNS places, and all filters would be read for every image. From the outside in:

    for each block of WIDE columns
        for each block of DEPTH_BLOCK rows of B        copied line by line, stays in L2
            for each block of ROW_BLOCK rows of A      packed beforehand; comes from L3, stays in L2
                for each panel of COLUMNS columns      its part of B stays in L1
                    for each tile of ROWS rows         micro-kernel

With a stride, the places that filters see are picked out of B while it is copied; or the gaps
between the places of C are filled with zeros when its sums are complete, for which they are kept in
a buffer. So are panels that have places of two images: a tile of sums must be written in one piece.

2 N P C O operations. Of memory, B is read once, and C written once, and read and written again
for every further block of rows of B.

For backward to the weights see direct_weights.py.

Threads share blocks of columns, and blocks of rows where these are few. The order of every sum is
the same for every number of threads.
"""

from typing import NamedTuple

import numpy as np
from numba import prange
from numpy.typing import NDArray

from .._compile.jit import inlined, inner, kernel
from .._vector.instructions import LANES, ROWS
from .._vector.lanes import collect_lanes, copy_lanes, copy_line, fill_line
from .._vector.scratch import CACHE_LINE, Need, divide, room
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
from ..relu import rectify_line
from . import direct_weights as weights
from .unfolded import Plan

F32 = NDArray[np.float32]

WIDE = 224  # columns at a time; eight maps of 14 x 14, and maps of 56 x 56, are whole blocks
PITCH = WIDE + CACHE_LINE  # floats of a line of packed B: odd in cache lines (unfolded.py)
TILE = ROWS * COLUMNS
ZERO = np.float32(0)


class Side(NamedTuple):
    """Where B or C has its numbers: k * map + i * line + j * step, for place (i, j) of an image.

    Where places follow each other without a gap, they are one line.
    """

    image: int  # floats of a group's part of an image
    map: int  # floats of a channel
    lines: int  # lines of places
    length: int  # places of a line
    line: int
    step: int


class Product(NamedTuple):
    """The sizes of C (rows, images * places) = A (rows, depth) @ B (depth, ...) for each group."""

    images: int
    groups: int
    places: int
    rows: int
    depth: int
    b: Side
    c: Side


def serves(plan: Plan) -> bool:
    """Whether a convolution is one that this file does."""
    return (plan.kernel_h, plan.kernel_w, plan.pad_h, plan.pad_w) == (1, 1, 0, 0)


def _products(plan: Plan) -> tuple[Product, Product]:
    """The sizes of forward, and of backward to the images."""
    images, groups, channels, outputs = plan.images, plan.groups, plan.channels, plan.outputs
    x, y = _sides(plan)
    return (
        Product(images, groups, plan.places, outputs, channels, x, y),
        Product(images, groups, plan.places, channels, outputs, y, x),
    )


def _sides(plan: Plan) -> tuple[Side, Side]:
    """How the images and the outputs lie in memory."""
    places = plan.places
    y = Side(plan.outputs * places, places, 1, places, places, 1)
    if plan.height * plan.width == places:
        return Side(plan.image, places, 1, places, places, 1), y
    x = Side(
        plan.image, plan.height * plan.width, plan.out_height, plan.out_width,
        plan.stride_h * plan.width, plan.stride_w,
    )  # fmt: skip
    return x, y


def _need(p: Product) -> Need:
    """Floats of scratch: packed A and its start; packed B and the panels of edges a thread."""
    edges = (WIDE // p.places + 2) * COLUMNS if p.c.map == p.places else WIDE
    packed = p.groups * padded_rows(p.rows) * p.depth
    each = TILE + PITCH * min(DEPTH_BLOCK, p.depth) + min(edges, WIDE) * p.rows
    return packed + p.groups * p.rows + ROWS, each


def scratch_size(plan: Plan) -> int:
    """Floats that the functions below need on the present number of threads."""
    return room((*map(_need, _products(plan)), weights.need(plan)))


def forward(
    plan: Plan, x: F32, weight: F32, bias: F32, y: F32, scratch: F32, slope: float = 1
) -> None:
    """y = W * x + bias; what is negative times the slope."""
    _run(_products(plan)[0], weight, plan.channels, 1, bias, x, y, scratch, slope)


def backward_data(plan: Plan, dy: F32, weight: F32, dx: F32, scratch: F32) -> None:
    """Overwrite dx."""
    _run(_products(plan)[1], weight, 1, plan.channels, None, dy, dx, scratch, 1)


def backward_weight(plan: Plan, x: F32, dy: F32, dweight: F32, scratch: F32) -> None:
    """Add to dweight."""
    weights.backward_weight(plan, x, dy, dweight, scratch)


def _run(
    p: Product, a: F32, a_step: int, a_k: int, start: F32 | None, b: F32, c: F32, scratch: F32,
    slope: float,
) -> None:  # fmt: skip
    work, shared, each, threads = divide(scratch, _need(p))
    start0 = p.groups * padded_rows(p.rows) * p.depth
    work[start0 : start0 + p.groups * p.rows] = 0 if start is None else start
    _pack_a(p, a.reshape(-1), a_step, a_k, work)
    _multiply(
        p, b.reshape(-1), c.reshape(-1), work, start0, np.float32(slope), shared, each, threads
    )


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
def _multiply(
    p: Product, b: F32, c: F32, work: F32, start0: int, slope: np.float32, shared: int, each: int,
    threads: int,
) -> None:  # fmt: skip
    deep = depth_block(p.depth)
    columns = p.images * p.places
    blocks = (columns + WIDE - 1) // WIDE
    row_blocks = (p.rows + ROW_BLOCK - 1) // ROW_BLOCK
    parts = min(row_blocks, (threads + p.groups * blocks - 1) // (p.groups * blocks))
    tasks = p.groups * blocks * parts
    for thread in prange(threads):
        tile = shared + thread * each
        packed = tile + TILE
        edges = packed + PITCH * min(DEPTH_BLOCK, p.depth)
        for task in range(thread * tasks // threads, (thread + 1) * tasks // threads):
            part, block, group = task % parts, task // parts % blocks, task // parts // blocks
            first_row = part * row_blocks // parts * ROW_BLOCK
            last_row = min((part + 1) * row_blocks // parts * ROW_BLOCK, p.rows)
            begin = _first_column(block, blocks, columns)
            end = min(_first_column(block + 1, blocks, columns), columns)
            c0 = group * p.c.image
            gaps = p.c.map > p.places
            kept = WIDE if gaps else COLUMNS  # columns that have a buffer together
            for k in range(0, p.depth, deep):
                depth = min(deep, p.depth - k)
                _pack_b(p, b, group, k, depth, begin, end, work, packed)
                for row in range(first_row, last_row, ROW_BLOCK):
                    rows = min(ROW_BLOCK, p.rows - row)
                    a0 = (group * padded_rows(p.rows) + row) * p.depth + padded_rows(rows) * k
                    edge = edges
                    for column in range(begin, end, COLUMNS):
                        n, place = column // p.places, column % p.places
                        if gaps:
                            to, to_step, target = edges + row * WIDE + column - begin, WIDE, work
                        elif place + COLUMNS > p.places:
                            to, to_step, target = edge + row * COLUMNS, COLUMNS, work
                            edge += p.rows * COLUMNS
                        else:
                            to = c0 + (n * p.groups * p.c.image + row * p.c.map + place)
                            to_step, target = p.c.map, c
                        multiply_packed(
                            depth, PackedRows(work, a0, depth, 0),
                            PackedColumns(work, packed + column - begin, 0, int(PITCH)),
                            Column(work, start0 + group * p.rows + row, 1),
                            Rows(target, to, rows, int(COLUMNS), to_step), k > 0, work, tile,
                        )  # fmt: skip
            edge = edges
            for column in range(begin, end, kept):
                if gaps or column % p.places + COLUMNS > p.places:
                    last = min(column + kept, end)
                    _write(p, work, edge, kept, first_row, last_row, column, last, c, c0)
                    edge += p.rows * kept
            if slope != 1:
                _rectify(p, c, c0, first_row, last_row, begin, end, slope)


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
    first_line, first_place = begin // p.c.length, begin % p.c.length
    for row in range(first, last):
        source, line, j = sums0 + row * pitch, first_line, first_place
        beyond = source + end - begin
        while source < beyond:
            i = line % p.c.lines
            at = c0 + line // p.c.lines * p.groups * p.c.image + row * p.c.map + i * p.c.line
            count = min(p.c.length - j, beyond - source)
            if p.c.map > p.places:
                # The gap behind the last number ends with the next line, or with the map.
                full = p.c.line if i + 1 < p.c.lines else p.c.map - i * p.c.line
                span = (full if j + count == p.c.length else (j + count) * p.c.step) - j * p.c.step
                fill_line(span, ZERO, c, at + j * p.c.step)
            for v in range(count):
                c[at + (j + v) * p.c.step] = sums[source + v]
            source += count
            line += 1
            j = 0


@inner
def _rectify(
    p: Product, c: F32, c0: int, first: int, last: int, begin: int, end: int, slope: np.float32
) -> None:
    """Multiply what is negative in columns [begin, end) with the slope."""
    column = begin
    while column < end:
        n, place = column // p.places, column % p.places
        count = min(p.places - place, end - column)
        for row in range(first, last):
            at = c0 + n * p.groups * p.c.image + row * p.c.map + place
            rectify_line(c[at : at + count], slope)
        column += count
