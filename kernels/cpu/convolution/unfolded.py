"""Images laid out so that what a tap of a filter sees along a line is contiguous.

An image is *unfolded* by giving it its margins and, where a stride is larger than 1, by laying its
phases apart: with stride 2, lines 0, 2, 4 ... form one plane and lines 1, 3, 5 ... another, and so
do the columns; planes that no tap sees are left out. Place (i, j) of the output then sees, through
tap (r, s) in channel c, the value

    unfolded[taps[k] + i * line + j],        k = (r, c, s)

so that row k of the columns `col` (K, P) of im2col is the unfolded image itself, from an offset on.
The rows r of the kernel come first in K, because taps that see nothing but margins can be left out:
for given lines of the output the others are a contiguous range of k, and for given k the lines that
see something are a contiguous range.
"""

from functools import lru_cache
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from .._compile.jit import inlined, inner
from .._vector.instructions import LANES, ROWS
from .._vector.lanes import collect_lanes, copy_line, fill_lanes, fill_line
from .._vector.scratch import CACHE_LINE
from ..gemm.micro_kernel import COLUMNS
from ..im2col import Extents, places_inside

BLOCK = 8 * COLUMNS  # places that convolution works on at a time
PITCH = BLOCK + CACHE_LINE  # floats of a row: an odd number of cache lines, so that a column of
# rows is spread over all sets of the first-level cache, and room for what a vector has beyond

F32 = NDArray[np.float32]
I64 = NDArray[np.int64]
ZERO = np.float32(0)


class Plan(NamedTuple):
    """A convolution's sizes, and where things are; channels, outputs and image are a group's."""

    images: int
    groups: int
    channels: int
    outputs: int
    height: int
    width: int
    out_height: int
    out_width: int
    kernel_h: int
    kernel_w: int
    stride_h: int
    stride_w: int
    pad_h: int
    pad_w: int
    dilation_h: int
    dilation_w: int
    depth: int  # K
    places: int  # P
    image: int  # floats of the image
    # the unfolded image
    unfolds: bool  # whether it differs from the image
    phases_h: int  # of stride_h, those that a tap sees
    phases_w: int
    lines: int  # lines of a plane
    line: int  # floats of a line
    unfolded: int  # floats of all planes, and LANES more, which a vector at the end may reach
    taps: I64  # (K, and zeros up to a multiple of ROWS): where rows (r, c, s) of col begin
    taps_by_channel: I64  # (K): where they begin in the order (r, s, c)
    # a row of col, BLOCK places at a time: block b has the runs from first_run[b] to [b + 1]
    first_run: I64
    run_from: I64  # where a run is in the unfolded image, for a tap at 0
    run_place: I64  # which place of the output it begins with
    run_count: I64  # of how many places it is


@lru_cache(maxsize=256)
def plan(
    x_shape: Extents, y_shape: Extents, kernel: Extents, stride: Extents, pad: Extents,
    dilation: Extents, groups: int,
) -> Plan:  # fmt: skip
    """Plan a convolution of images with two spatial axes, or fewer: they are lines of height 1."""
    missing = 2 - len(kernel)
    height, width = (1,) * missing + x_shape[2:]
    out_height, out_width = (1,) * missing + y_shape[2:]
    kernel_h, kernel_w = (1,) * missing + kernel
    stride_h, stride_w = (1,) * missing + stride
    pad_h, pad_w = (0,) * missing + pad
    dilation_h, dilation_w = (1,) * missing + dilation
    channels, outputs = x_shape[1] // groups, y_shape[1] // groups
    phases_h = min(stride_h, dilation_h * (kernel_h - 1) + 1)
    phases_w = min(stride_w, dilation_w * (kernel_w - 1) + 1)
    lines = -(-(height + 2 * pad_h) // stride_h)
    line = -(-(width + 2 * pad_w) // stride_w)
    r, c, s = np.ogrid[:kernel_h, :channels, :kernel_w]
    r, s = r * dilation_h, s * dilation_w
    plane = (c * phases_h + r % stride_h) * phases_w + s % stride_w
    taps = (plane * lines + r // stride_h) * line + s // stride_w
    return Plan(
        x_shape[0], groups, channels, outputs, height, width, out_height, out_width,
        kernel_h, kernel_w, stride_h, stride_w, pad_h, pad_w, dilation_h, dilation_w,
        taps.size, out_height * out_width, channels * height * width,
        (stride_h, stride_w, pad_h, pad_w) != (1, 1, 0, 0),
        phases_h, phases_w, lines, line, channels * phases_h * phases_w * lines * line + LANES,
        np.pad(taps.reshape(-1), (0, -taps.size % ROWS)),
        taps.transpose(0, 2, 1).reshape(-1).copy(),
        *_runs(out_height, out_width, line),
    )  # fmt: skip


def _runs(out_height: int, out_width: int, line: int) -> tuple[I64, I64, I64, I64]:
    """The pieces of lines of the unfolded image that a row of col is put together from."""
    if line == out_width:  # lines follow each other without a gap: all is one line
        out_height, out_width = 1, out_height * out_width
    first: list[int] = [0]
    runs: list[tuple[int, int, int]] = []
    for block in range(0, out_height * out_width, BLOCK):
        place = block
        end = min(block + BLOCK, out_height * out_width)
        while place < end:
            i, j = divmod(place, out_width)
            count = min(out_width - j, end - place)
            runs.append((i * line + j, place, count))
            place += count
        first.append(len(runs))
    source, places, counts = np.array(runs, np.int64).reshape(-1, 3).T
    return np.array(first, np.int64), source.copy(), places.copy(), counts.copy()


@inner
def unfold(plan: Plan, x: F32, x0: int, out: F32, out0: int) -> None:
    """Write the unfolded image.

    In whole vectors: what one has beyond the end of its piece is overwritten by the next piece.
    """
    to = out0
    for plane in range(plan.channels * plan.phases_h * plan.phases_w):
        h, shift, channel = _phase(plan, plane)
        inside = places_inside(shift, plan.stride_w, plan.width, plan.line)
        for _ in range(plan.lines):
            first, last = inside if 0 <= h < plan.height else (plan.line, plan.line)
            for at in range(0, first, LANES):
                fill_lanes(ZERO, out, to + at)
            source = x0 + channel + h * plan.width + shift
            if source + (last + LANES) * plan.stride_w <= x.size:
                for at in range(first, last, LANES):
                    from_ = source + at * plan.stride_w
                    collect_lanes(x, from_, plan.stride_w, out, to + at)
            else:
                from_ = source + first * plan.stride_w
                copy_line(last - first, x, from_, plan.stride_w, out, to + first)
            for at in range(last, plan.line, LANES):
                fill_lanes(ZERO, out, to + at)
            to += plan.line
            h += plan.stride_h


@inner
def fold(plan: Plan, unfolded: F32, start: int, x: F32, x0: int) -> None:
    """Write the image of which this is the unfolded one."""
    if plan.phases_h < plan.stride_h or plan.phases_w < plan.stride_w:
        fill_line(plan.image, ZERO, x, x0)
    source = start
    for plane in range(plan.channels * plan.phases_h * plan.phases_w):
        h, shift, channel = _phase(plan, plane)
        first, last = places_inside(shift, plan.stride_w, plan.width, plan.line)
        for _ in range(plan.lines):
            if 0 <= h < plan.height:
                to = x0 + channel + h * plan.width + shift
                if plan.stride_w == 1:
                    copy_line(last - first, unfolded, source + first, 1, x, to + first)
                else:
                    for j in range(first, last):
                        x[to + j * plan.stride_w] = unfolded[source + j]
            source += plan.line
            h += plan.stride_h


@inlined
def _phase(plan: Plan, plane: int) -> tuple[int, int, int]:
    """The first line and column of the image that a plane has, and where its channel begins."""
    h = plane // plan.phases_w % plan.phases_h - plan.pad_h
    w = plane % plan.phases_w - plan.pad_w
    return h, w, plane // (plan.phases_h * plan.phases_w) * plan.height * plan.width


@inner
def taps_that_see(plan: Plan, begin: int, end: int) -> tuple[int, int]:
    """The range of k whose taps see more than margins from places [begin, end)."""
    first_line, last_line = begin // plan.out_width, (end - 1) // plan.out_width
    first = (plan.pad_h - last_line * plan.stride_h + plan.dilation_h - 1) // plan.dilation_h
    last = (plan.height - 1 + plan.pad_h - first_line * plan.stride_h) // plan.dilation_h
    row = plan.channels * plan.kernel_w
    return max(first, 0) * row, min(last + 1, plan.kernel_h) * row


@inner
def lines_that_see(plan: Plan, first_k: int, last_k: int) -> tuple[int, int]:
    """The range of lines from which taps [first, last] see more than margins."""
    row = plan.channels * plan.kernel_w
    top = plan.pad_h - last_k // row * plan.dilation_h
    bottom = plan.height - 1 + plan.pad_h - first_k // row * plan.dilation_h
    first = (top + plan.stride_h - 1) // plan.stride_h
    return max(first, 0), min(bottom // plan.stride_h + 1, plan.out_height)


@inner
def filter_at(plan: Plan, group: int, output: int, r: int, c: int, s: int) -> int:
    """Where in the weight (O, C, kernel_h, kernel_w) of a group a number is."""
    line = ((group * plan.outputs + output) * plan.channels + c) * plan.kernel_h + r
    return line * plan.kernel_w + s
