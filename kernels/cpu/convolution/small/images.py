"""Convolution of many small planes, with images in the lanes of vectors.

    y[o, p, n] = b[o] + sum over r, s, c of  W[o, c, r, s] * x[what tap (r, s) sees from p, c, n]

Lane n of a vector is image n. So a tile of the micro-kernel is ROWS outputs of COLUMNS images at
one place, there is no line that a vector could stick out of, and a tap that sees a margin is simply
left out: the products are exactly those that are needed, whatever the size of the plane. The way of
direct.py, whose vectors go along lines, multiplies with all margins beside them: for a
plane of 12 x 12 that comes from 8 x 8 by filters of 5 x 5, backward to the images, 2.25 times as
much as is needed.

COLUMNS images are laid out as [place][channel][image] first. What the taps of a row r of the filter
see from a place is then one matrix, (s, c) deep, contiguous, and it stays in the first-level cache
for all outputs; filters are packed in the order (r, s, c) and come from the second level. For
each line of the output, each place, and each r there is a product; lines are turned back when they
are complete. At most 2 N O P K operations, K = kernel_h * kernel_w * C; laying out and turning back
read and write each image and output once.

Backward to the images is the same from dy to dx, with rotated filters, for stride 1. It pays where
there are enough images to fill COLUMNS, and where filters are small enough to stay in the cache:
choice.py.

Threads share blocks of images, groups, and lines of the output. The order of every sum is the same
for every number of threads.
"""

from functools import lru_cache

import numpy as np
from numba import prange
from numpy.typing import NDArray

from ..._compile.jit import inner, jitable, kernel
from ..._vector.instructions import LANES, ROWS
from ..._vector.lanes import fill_line, transpose_lanes
from ..._vector.scratch import Need, divide, room
from ...gemm.matrix import Column, PackedColumns, PackedRows, Rows
from ...gemm.micro_kernel import COLUMNS
from ...gemm.packing import DEPTH_BLOCK, ROW_BLOCK, multiply_packed, padded_rows, panel_of
from ...relu import rectify_line
from ..unfolded import Plan
from ..unfolded import plan as make_plan

F32 = NDArray[np.float32]
ZERO = np.float32(0)

TILE = ROWS * COLUMNS
IMAGES = 1 << 19  # floats of a block of images: a part of a third-level cache
FILTERS = 1 << 16  # floats of filters: half of a second-level cache


def transposed(plan: Plan) -> Plan:
    """The convolution of dy that gives dx, for stride 1: of rotated filters."""
    return make_plan(
        (plan.images, plan.groups * plan.outputs, plan.out_height, plan.out_width),
        (plan.images, plan.groups * plan.channels, plan.height, plan.width),
        (plan.kernel_h, plan.kernel_w), (1, 1),
        (plan.dilation_h * (plan.kernel_h - 1) - plan.pad_h,
         plan.dilation_w * (plan.kernel_w - 1) - plan.pad_w),
        (plan.dilation_h, plan.dilation_w), plan.groups,
    )  # fmt: skip


@jitable
def _seeing(first: int, dilation: int, size: int, kernel: int) -> tuple[int, int]:
    """The range of taps that see more than a margin; tap 0 sees `first`."""
    before = (dilation - 1 - first) // dilation
    return max(before, 0), min((size - 1 - first) // dilation + 1, kernel)


def fits(plan: Plan) -> bool:
    """Whether a block of images, and the filters, stay in a cache."""
    return plan.image * COLUMNS <= IMAGES and plan.outputs * plan.depth <= FILTERS


def products_of_an_output(plan: Plan) -> int:
    """Multiplications for all places of an output: those with margins are left out."""
    p = plan
    lines = _seen(p.out_height, p.stride_h, p.pad_h, p.dilation_h, p.height, p.kernel_h)
    columns = _seen(p.out_width, p.stride_w, p.pad_w, p.dilation_w, p.width, p.kernel_w)
    return lines * columns * plan.channels


@lru_cache(maxsize=1024)
def _seen(places: int, stride: int, pad: int, dilation: int, size: int, taps: int) -> int:
    """How often taps see more than a margin, along an axis."""
    ranges = (_seeing(i * stride - pad, dilation, size, taps) for i in range(places))
    return sum(max(last - first, 0) for first, last in ranges)


def need(plan: Plan) -> Need:
    """Floats of scratch: packed filters, biases; images, a line of outputs and a tile a thread."""
    filters = plan.groups * padded_rows(plan.outputs) * plan.depth
    line = plan.out_width * plan.outputs
    return (
        filters + plan.groups * plan.outputs + ROWS,
        (plan.image + line) * COLUMNS + TILE,
    )


def forward(
    plan: Plan, x: F32, weight: F32, bias: F32, y: F32, scratch: F32, slope: float = 1
) -> None:
    """y = W * x + bias; what is negative times the slope."""
    taps = plan.kernel_h * plan.kernel_w
    steps = (0, plan.outputs * plan.depth, plan.depth, taps, 1)
    _convolve(plan, x, weight, bias, y, scratch, slope, steps)


def backward_data(plan: Plan, dy: F32, weight: F32, dx: F32, scratch: F32) -> None:
    """Overwrite dx; the stride is 1."""
    taps = plan.kernel_h * plan.kernel_w
    steps = (taps - 1, plan.outputs * plan.depth, taps, plan.depth, -1)
    bias = np.zeros(dx.shape[1], np.float32)
    _convolve(transposed(plan), dy, weight, bias, dx, scratch, 1, steps)


def scratch_size(plan: Plan) -> int:
    """Floats that the functions above need on the present number of threads."""
    back = (plan.stride_h, plan.stride_w) == (1, 1)
    return room((need(plan), need(transposed(plan)) if back else (0, 0)))


def _convolve(
    plan: Plan, x: F32, weight: F32, bias: F32, y: F32, scratch: F32, slope: float,
    steps: tuple[int, int, int, int, int],
) -> None:  # fmt: skip
    work, shared, each, threads = divide(scratch, need(plan))
    bias0 = plan.groups * padded_rows(plan.outputs) * plan.depth
    work[bias0 : bias0 + bias.size] = bias
    _pack_filters(plan, weight.reshape(-1), steps, work)
    blocks = -(-plan.images // COLUMNS) * plan.groups
    parts = parts_of(plan.out_height, blocks, threads)
    _run(
        plan, x.reshape(-1), y.reshape(-1), work, bias0, np.float32(slope), shared, each, threads,
        parts,
    )  # fmt: skip


def parts_of(lines: int, blocks: int, threads: int) -> int:
    """Into how many parts the lines of a block are cut: four tasks a thread share the work well.

    A thread lays the images of a block out once, however many of its parts it has.
    """
    return min(lines, -(-4 * threads // blocks)) if threads > 1 else 1


@kernel
def _pack_filters(plan: Plan, weight: F32, steps: tuple[int, int, int, int, int], out: F32) -> None:
    """W of each group in panels, K deep, k = (r, s, c).

    Tap t = (r, s) from channel c to output o of a group is at weight[start + group * steps[1] +
    o * steps[2] + c * steps[3] + t * steps[4]], where start is steps[0].
    """
    start, group_step, output_step, channel_step, tap_step = steps
    rows = padded_rows(plan.outputs)
    for row in prange(plan.groups * rows):
        group, o = row // rows, row % rows
        first, height = panel_of(o, plan.outputs)
        source = start + group * group_step + min(o, plan.outputs - 1) * output_step
        to = (group * rows + first) * plan.depth + o - first
        for tap in range(plan.kernel_h * plan.kernel_w):
            for c in range(plan.channels):
                out[to] = weight[source + c * channel_step + tap * tap_step]
                to += height


@kernel
def _run(
    plan: Plan, x: F32, y: F32, work: F32, bias0: int, slope: np.float32, shared: int, each: int,
    threads: int, parts: int,
) -> None:  # fmt: skip
    """A task is a block of images, a group, and a part of the lines of the output."""
    tasks = (plan.images + COLUMNS - 1) // COLUMNS * plan.groups * parts
    for thread in prange(threads):
        tile = shared + thread * each
        line = tile + TILE
        images = line + plan.out_width * plan.outputs * COLUMNS
        present = -1
        for task in range(thread * tasks // threads, (thread + 1) * tasks // threads):
            item, part = task // parts, task % parts
            group, n = item % plan.groups, item // plan.groups * COLUMNS
            count = min(COLUMNS, plan.images - n)
            if item != present:
                present = item
                _lay_out(plan, x, n * plan.groups + group, count, work, images)
            y0 = (n * plan.groups + group) * plan.outputs * plan.places
            for i in range(part * plan.out_height // parts, (part + 1) * plan.out_height // parts):
                for j in range(plan.out_width):
                    _sum_place(
                        plan, i, j, group, work, images, bias0 + group * plan.outputs,
                        line + j * plan.outputs * COLUMNS, tile,
                    )  # fmt: skip
                turn_back(
                    plan.out_width, plan.outputs, count, work, line, y, y0 + i * plan.out_width,
                    plan.places, plan.groups * plan.outputs * plan.places, slope,
                )  # fmt: skip


@inner
def _lay_out(plan: Plan, x: F32, item: int, count: int, out: F32, out0: int) -> None:
    """Write `count` images of a group as [place][channel][image].

    What stands in the place of images that are not there means nothing.
    """
    places = plan.height * plan.width
    step, to_step = plan.groups * plan.image, plan.channels * COLUMNS
    for c in range(plan.channels):
        source, to = item * plan.image + c * places, out0 + c * COLUMNS
        for lane in range(0, COLUMNS, LANES):
            first = min(lane, count - 1)
            there = min(LANES, count - first)
            from_ = source + first * step
            if places >= LANES:
                for p in range(0, places, LANES):
                    at = min(p, places - LANES)
                    target = to + lane + at * to_step
                    transpose_lanes(there, x, from_ + at, step, out, target, to_step)
            else:
                for p in range(places):
                    for i in range(LANES):
                        out[to + lane + p * to_step + i] = x[from_ + min(i, there - 1) * step + p]


@inner
def _sum_place(
    plan: Plan, i: int, j: int, group: int, work: F32, images: int, bias0: int, out0: int, tile: int
) -> None:
    """Write [output][image] of a place (i, j)."""
    top, left = i * plan.stride_h - plan.pad_h, j * plan.stride_w - plan.pad_w
    first_r, last_r = _seeing(top, plan.dilation_h, plan.height, plan.kernel_h)
    first_s, last_s = _seeing(left, plan.dilation_w, plan.width, plan.kernel_w)
    filters = group * padded_rows(plan.outputs) * plan.depth
    # Taps side by side that see places side by side are one product.
    taps = last_s - first_s if plan.dilation_w == 1 else 1
    if first_r >= last_r or first_s >= last_s:
        for o in range(plan.outputs):
            fill_line(int(COLUMNS), work[bias0 + o], work, out0 + o * COLUMNS)
        return
    add = False
    for r in range(first_r, last_r):
        seen = (top + r * plan.dilation_h) * plan.width + left
        for s in range(first_s, last_s, taps):
            b0 = images + (seen + s * plan.dilation_w) * plan.channels * COLUMNS
            k0 = (r * plan.kernel_w + s) * plan.channels
            for k in range(0, taps * plan.channels, DEPTH_BLOCK):
                deep = min(DEPTH_BLOCK, taps * plan.channels - k)
                for o in range(0, plan.outputs, ROW_BLOCK):
                    multiply_packed(
                        deep, PackedRows(work, filters + o * plan.depth, plan.depth, k0 + k),
                        PackedColumns(work, b0 + k * COLUMNS, 0, int(COLUMNS)),
                        Column(work, bias0 + o, 1),
                        Rows(
                            work, out0 + o * COLUMNS, min(ROW_BLOCK, plan.outputs - o),
                            int(COLUMNS), int(COLUMNS),
                        ),
                        add, work, tile,
                    )  # fmt: skip
                add = True


@inner
def turn_back(
    width: int, outputs: int, count: int, work: F32, line: int, y: F32, y0: int, plane: int,
    step: int, slope: np.float32,
) -> None:  # fmt: skip
    """Write a line [place][output][image] of all outputs of `count` images, rectified.

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
                    transpose_lanes(int(LANES), work, at, from_step, y, to + n * step + j, step)
            else:
                for i in range(n, min(n + LANES, count)):
                    for j in range(width):
                        y[to + i * step + j] = work[source + i + j * from_step]
        if slope != 1:
            for n in range(count):
                rectify_line(y[to + n * step : to + n * step + width], slope)
