"""Convolution of many small planes, with images in the lanes of vectors.

    y[o, p, n] = b[o] + sum over r, s, c of  W[o, c, r, s] * x[what tap (r, s) sees from p, c, n]

Lane n of a vector is image n. So a tile of the micro-kernel is ROWS outputs of COLUMNS images at
one pixel, there is no line that a vector could stick out of, and a tap that sees padding is simply
left out: the products are exactly those that are needed, whatever the size of the plane. The way of
direct.py, whose vectors go along lines, multiplies with all padding beside them: for a
plane of 12 x 12 that comes from 8 x 8 by filters of 5 x 5, backward to the images, 2.25 times as
much as is needed.

COLUMNS images are laid out as [pixel][channel][image] first. What the taps of a row r of the filter
see from a pixel is then one matrix, (s, c) deep, contiguous, and it stays in the first-level cache
for all outputs; filters are packed in the order (r, s, c) and come from the second level. For
each line of the output, each pixel, and each r there is a product; lines are turned back when they
are complete. At most 2 N O P K operations, K = kernel_h * kernel_w * C; laying out and turning back
read and write each image and output once.

Backward to the images is the same from dy to dx, with rotated filters, for stride 1. It pays where
there are enough images to fill COLUMNS, and where filters are small enough to stay in the cache:
choice.py.

Threads share blocks of images, groups, and lines of the output. The order of every sum is the same
for every number of threads.
"""

from functools import lru_cache
from typing import NamedTuple

import numpy as np
from numba import prange
from numpy.typing import NDArray

from .._compile.jit import inner, jitable, kernel
from .._vector.instructions import LANES, ROWS
from .._vector.lanes import fill_line, transpose_lanes
from .._vector.scratch import Need, Scratch, divide, room
from ..gemm.matrix import Column, PackedColumns, PackedRows, Rows
from ..gemm.micro_kernel import COLUMNS
from ..gemm.packing import DEPTH_BLOCK, ROW_BLOCK, multiply_packed, padded_rows, panel_of
from .plan import Plan, Sizes, transposed

F32 = NDArray[np.float32]
ZERO = np.float32(0)

TILE = ROWS * COLUMNS
IMAGES = 1 << 19  # floats of a block of images: a part of a third-level cache
FILTERS = 1 << 16  # floats of filters: half of a second-level cache


@jitable
def _seeing(first: int, dilation: int, size: int, kernel: int) -> tuple[int, int]:
    """The range of taps that see more than padding; tap 0 sees `first`."""
    before = (dilation - 1 - first) // dilation
    return max(before, 0), min((size - 1 - first) // dilation + 1, kernel)


def fits(sizes: Sizes) -> bool:
    """Whether a block of images, and the filters, stay in a cache."""
    return sizes.image * COLUMNS <= IMAGES and sizes.outputs * sizes.depth <= FILTERS


def products_of_an_output(sizes: Sizes) -> int:
    """Multiplications for all pixels of an output: those with padding are left out."""
    p = sizes
    lines = _seen(p.out_height, p.stride_h, p.pad_h, p.dilation_h, p.height, p.kernel_h)
    columns = _seen(p.out_width, p.stride_w, p.pad_w, p.dilation_w, p.width, p.kernel_w)
    return lines * columns * sizes.channels


@lru_cache(maxsize=1024)
def _seen(pixels: int, stride: int, pad: int, dilation: int, size: int, taps: int) -> int:
    """How often taps see more than padding, along an axis."""
    ranges = (_seeing(i * stride - pad, dilation, size, taps) for i in range(pixels))
    return sum(max(last - first, 0) for first, last in ranges)


@lru_cache(maxsize=256)
def _need(sizes: Sizes) -> Need:
    """Floats of scratch: packed filters, biases; images, a line of outputs and a tile a thread."""
    line = sizes.out_width * sizes.outputs
    each = (sizes.image + line) * COLUMNS + TILE
    return _filters_size(sizes) + sizes.groups * sizes.outputs + ROWS, each


@jitable
def _filters_size(sizes: Sizes) -> int:
    """Floats of the packed filters; the biases follow."""
    return sizes.groups * padded_rows(sizes.outputs) * sizes.depth


class Filters(NamedTuple):
    """Where tap t = (r, s) from channel c to output o is: start + the sum of index * step."""

    start: int
    group: int
    output: int
    channel: int
    tap: int


def forward(
    plan: Plan, x: F32, weight: F32, bias: F32, y: F32, scratch: F32, kept: bool | None = None
) -> None:
    """y = W * x + bias."""
    sizes = plan.sizes
    taps = sizes.kernel_h * sizes.kernel_w
    filters = Filters(0, sizes.outputs * sizes.depth, sizes.depth, taps, 1)
    _convolve(sizes, filters, x, weight, bias, y, scratch, kept)


def backward_data(
    plan: Plan, dy: F32, weight: F32, dx: F32, scratch: F32, kept: bool | None = None
) -> None:
    """Overwrite dx; the stride is 1."""
    sizes = plan.sizes
    taps = sizes.kernel_h * sizes.kernel_w
    filters = Filters(taps - 1, sizes.outputs * sizes.depth, taps, sizes.depth, -1)
    _convolve(transposed(sizes), filters, dy, weight, None, dx, scratch, kept)


def scratch_size(plan: Plan) -> int:
    """Floats that the functions above need on the present number of threads."""
    sizes = plan.sizes
    back = (sizes.stride_h, sizes.stride_w) == (1, 1)
    return room((_need(sizes), _need(transposed(sizes)) if back else (0, 0)))


def _convolve(
    sizes: Sizes, filters: Filters, x: F32, weight: F32, bias: F32 | None, y: F32, scratch: F32,
    kept: bool | None,
) -> None:  # fmt: skip
    work = divide(scratch, _need(sizes))
    if not kept:
        bias0 = _filters_size(sizes)
        work.floats[bias0 : bias0 + sizes.groups * sizes.outputs] = 0 if bias is None else bias
        _pack_filters(sizes, filters, weight.reshape(-1), work.floats)
    blocks = -(-sizes.images // COLUMNS) * sizes.groups
    parts = parts_of(sizes.out_height, blocks, work.threads)
    _run(sizes, x.reshape(-1), y.reshape(-1), work, parts)


def parts_of(lines: int, blocks: int, threads: int) -> int:
    """Into how many parts the lines of a block are cut: four tasks a thread share the work well.

    A thread lays the images of a block out once, however many of its parts it has.
    """
    return min(lines, -(-4 * threads // blocks)) if threads > 1 else 1


@kernel
def _pack_filters(sizes: Sizes, filters: Filters, weight: F32, out: F32) -> None:
    """W of each group in panels, K deep, k = (r, s, c)."""
    rows = padded_rows(sizes.outputs)
    for row in prange(sizes.groups * rows):
        group, o = row // rows, row % rows
        first, height = panel_of(o, sizes.outputs)
        source = filters.start + group * filters.group
        source += min(o, sizes.outputs - 1) * filters.output
        to = (group * rows + first) * sizes.depth + o - first
        for tap in range(sizes.kernel_h * sizes.kernel_w):
            for c in range(sizes.channels):
                out[to] = weight[source + c * filters.channel + tap * filters.tap]
                to += height


@kernel
def _run(sizes: Sizes, x: F32, y: F32, work: Scratch, parts: int) -> None:
    """A task is a block of images, a group, and a part of the lines of the output."""
    memory, biases = work.floats, _filters_size(sizes)
    tasks = (sizes.images + COLUMNS - 1) // COLUMNS * sizes.groups * parts
    for thread in prange(work.threads):
        tile = work.shared + thread * work.each
        line = tile + TILE
        images = line + sizes.out_width * sizes.outputs * COLUMNS
        present = -1
        for task in range(thread * tasks // work.threads, (thread + 1) * tasks // work.threads):
            item, part = task // parts, task % parts
            group, n = item % sizes.groups, item // sizes.groups * COLUMNS
            count = min(COLUMNS, sizes.images - n)
            if item != present:
                present = item
                _lay_out(sizes, x, n * sizes.groups + group, count, memory, images)
            y0 = (n * sizes.groups + group) * sizes.outputs * sizes.pixels
            top, bottom = part * sizes.out_height // parts, (part + 1) * sizes.out_height // parts
            for i in range(top, bottom):
                for j in range(sizes.out_width):
                    _sum_pixel(
                        sizes, i, j, group, memory, images, biases + group * sizes.outputs,
                        line + j * sizes.outputs * COLUMNS, tile,
                    )  # fmt: skip
                turn_back(
                    sizes.out_width, sizes.outputs, count, memory, line,
                    y, y0 + i * sizes.out_width, sizes.pixels,
                    sizes.groups * sizes.outputs * sizes.pixels,
                )  # fmt: skip


@inner
def _lay_out(sizes: Sizes, x: F32, item: int, count: int, out: F32, out0: int) -> None:
    """Write `count` images of a group as [pixel][channel][image].

    What stands where images would be that are not there means nothing.
    """
    pixels = sizes.height * sizes.width
    step, to_step = sizes.groups * sizes.image, sizes.channels * COLUMNS
    for c in range(sizes.channels):
        source, to = item * sizes.image + c * pixels, out0 + c * COLUMNS
        for lane in range(0, COLUMNS, LANES):
            first = min(lane, count - 1)
            there = min(LANES, count - first)
            from_ = source + first * step
            if pixels >= LANES:
                for p in range(0, pixels, LANES):
                    at = min(p, pixels - LANES)
                    target = to + lane + at * to_step
                    transpose_lanes(there, x, from_ + at, step, out, target, to_step)
            else:
                for p in range(pixels):
                    for i in range(LANES):
                        out[to + lane + p * to_step + i] = x[from_ + min(i, there - 1) * step + p]


@inner
def _sum_pixel(
    sizes: Sizes,
    i: int,
    j: int,
    group: int,
    work: F32,
    images: int,
    bias0: int,
    out0: int,
    tile: int,
) -> None:
    """Write [output][image] of a pixel (i, j)."""
    top, left = i * sizes.stride_h - sizes.pad_h, j * sizes.stride_w - sizes.pad_w
    first_r, last_r = _seeing(top, sizes.dilation_h, sizes.height, sizes.kernel_h)
    first_s, last_s = _seeing(left, sizes.dilation_w, sizes.width, sizes.kernel_w)
    filters = group * padded_rows(sizes.outputs) * sizes.depth
    # Taps side by side that see pixels side by side are one product.
    taps = last_s - first_s if sizes.dilation_w == 1 else 1
    if first_r >= last_r or first_s >= last_s:
        for o in range(sizes.outputs):
            fill_line(int(COLUMNS), work[bias0 + o], work, out0 + o * COLUMNS)
        return
    add = False
    for r in range(first_r, last_r):
        seen = (top + r * sizes.dilation_h) * sizes.width + left
        for s in range(first_s, last_s, taps):
            b0 = images + (seen + s * sizes.dilation_w) * sizes.channels * COLUMNS
            k0 = (r * sizes.kernel_w + s) * sizes.channels
            for k in range(0, taps * sizes.channels, DEPTH_BLOCK):
                deep = min(DEPTH_BLOCK, taps * sizes.channels - k)
                for o in range(0, sizes.outputs, ROW_BLOCK):
                    multiply_packed(
                        deep, PackedRows(work, filters + o * sizes.depth, sizes.depth, k0 + k),
                        PackedColumns(work, b0 + k * COLUMNS, 0, int(COLUMNS)),
                        Column(work, bias0 + o, 1),
                        Rows(
                            work, out0 + o * COLUMNS, min(ROW_BLOCK, sizes.outputs - o),
                            int(COLUMNS), int(COLUMNS),
                        ),
                        add, work, tile,
                    )  # fmt: skip
                add = True


@inner
def turn_back(
    width: int, outputs: int, count: int, memory: F32, line: int, y: F32, y0: int, plane: int,
    step: int,
) -> None:  # fmt: skip
    """Write a line [pixel][output][image] of all outputs of `count` images.

    Planes of y are `plane` floats apart, and images `step`.
    """
    from_step = outputs * COLUMNS
    for o in range(outputs):
        source, to = line + o * COLUMNS, y0 + o * plane
        for n in range(0, count, LANES):
            if width >= LANES and n + LANES <= count:
                for column in range(0, width, LANES):
                    j = min(column, width - LANES)
                    at = source + n + j * from_step
                    transpose_lanes(int(LANES), memory, at, from_step, y, to + n * step + j, step)
            else:
                for i in range(n, min(n + LANES, count)):
                    for j in range(width):
                        y[to + i * step + j] = memory[source + i + j * from_step]
