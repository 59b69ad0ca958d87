"""Convolution of planes as a matrix product whose columns are never written out ("implicit GEMM").

    y (O/G, P) = W (O/G, K) @ col (K, P),   K = kernel_h * C/G * kernel_w,   P = out_h * out_w

Row k = (r, c, s) of `col` is channel c seen by tap (r, s) of the kernel. What a tap sees along a line
of outputs is a contiguous piece of a line of the image, once the image is *unfolded*: given its
margins, and with a stride, its phases laid apart (phase a of stride 2 has lines a, a + 2, ...). So a
row of `col` is the unfolded image from an offset on, `taps[k]`, and all three products read it
in place:

* forward copies COLUMNS outputs' worth of `col` at a time, vector by vector, into the panel that
  the micro-kernel reads next: it lives in the first-level cache and is used for all O outputs.
* backward to the weights sums over places: dW.T (K, O/G) = col (K, P) @ dy.T (P, O/G). The micro-kernel
  takes ROWS taps and broadcasts what they see straight from the image.
* backward to the images makes ROWS rows of dcol (K, P) = W.T @ dy, and adds them to the image where
  their taps are.

The rows r of the kernel come first in K, because taps that see only margins can then be left out:
for given lines of outputs the others are a contiguous range of k, and for given k the lines that see
something are a contiguous range. Each product is 2 N O P K operations, less those left out.

Threads share images and groups. All but the gradient of the weights, which is summed for each
thread and then over threads, has the same bits for every number of threads.
"""

from functools import lru_cache
from typing import NamedTuple

import numpy as np
from numba import prange
from numpy.typing import NDArray

from ._jit import inlined, inner, kernel, num_threads
from ._micro_kernel import COLUMNS, LANES, ROWS, copy_lanes, multiply_taps
from .gemm import CACHE_LINE, DEPTH_BLOCK, multiply_packed, pack
from .im2col import Extents, places_inside

F32 = NDArray[np.float32]
I64 = NDArray[np.int64]

PLACES = 256  # of the output that backward works on at a time


class Plan(NamedTuple):
    """A convolution's sizes, and where things are; channels and outputs are those of a group."""

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
    # the unfolded image of a group
    unfolds: bool  # whether it differs from the image
    lines: int  # of a phase plane
    line: int  # floats of a line
    unfolded: int  # floats of all its planes, and LANES more, which a copy may read
    taps: I64  # (K, rounded up to ROWS): where row k of col begins
    # the panels of col: panel p has copies first_copy[p] up to first_copy[p + 1]
    first_copy: I64
    copy_from: I64  # place in the unfolded image
    copy_to: I64  # column of the panel


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

    lines = -(-(height + 2 * pad_h) // stride_h)
    line = -(-(width + 2 * pad_w) // stride_w)
    r, c, s = np.meshgrid(
        np.arange(kernel_h) * dilation_h, np.arange(channels), np.arange(kernel_w) * dilation_w,
        indexing="ij",
    )  # fmt: skip
    plane = (c * stride_h + r % stride_h) * stride_w + s % stride_w
    taps = ((plane * lines + r // stride_h) * line + s // stride_w).reshape(-1)
    copies = _panel_copies(out_height, out_width, line)
    return Plan(
        x_shape[0], groups, channels, outputs, height, width, out_height, out_width,
        kernel_h, kernel_w, stride_h, stride_w, pad_h, pad_w, dilation_h, dilation_w,
        (stride_h, stride_w, pad_h, pad_w) != (1, 1, 0, 0), lines, line,
        channels * stride_h * stride_w * lines * line + LANES,
        np.pad(taps, (0, -taps.size % ROWS)).astype(np.int64), *copies,
    )  # fmt: skip


def _panel_copies(out_height: int, out_width: int, line: int) -> tuple[I64, I64, I64]:
    """How the panels of a row of col are put together: vectors to copy, in this order.

    A vector may hold more than is wanted: what follows it is then copied after it.
    """
    if line == out_width:  # lines follow each other without a gap: all is one line
        out_height, out_width = 1, out_height * out_width
    places = out_height * out_width
    first_copy, copy_from, copy_to = [0], [], []
    for panel in range(0, places, COLUMNS):
        column = 0
        while column < COLUMNS and panel + column < places:
            i, j = divmod(panel + column, out_width)
            copy_from.append(i * line + j)
            copy_to.append(column)
            column += min(LANES, out_width - j)
        first_copy.append(len(copy_to))
    return np.array(first_copy), np.array(copy_from), np.array(copy_to)


# ---- scratch: what all threads share, then a share for each


class Scratch(NamedTuple):
    """Floats of the parts of the scratch: for all threads, for each thread."""

    shared: int
    each: int


def _lines(floats: int) -> int:
    """Rounded up to whole cache lines."""
    return -(-floats // CACHE_LINE) * CACHE_LINE


def _rounded(count: int, step: int) -> int:
    return -(-count // step) * step


def _depth(plan: Plan) -> int:
    return plan.kernel_h * plan.channels * plan.kernel_w


def _forward_scratch(plan: Plan) -> Scratch:
    filters = plan.groups * _rounded(plan.outputs, ROWS) * _depth(plan)
    panel = DEPTH_BLOCK * COLUMNS + ROWS * COLUMNS
    return Scratch(_lines(filters), _lines(panel + plan.unfolded))


def _data_scratch(plan: Plan) -> Scratch:
    filters = plan.groups * _rounded(_depth(plan), ROWS) * plan.outputs
    gradients = PLACES * plan.outputs + LANES
    return Scratch(_lines(filters), _lines((PLACES + COLUMNS) * ROWS + gradients))


def _weight_scratch(plan: Plan) -> Scratch:
    outputs = _rounded(plan.outputs, COLUMNS)
    sums = plan.groups * outputs * plan.taps.size
    gradients = outputs * _chunk_lines(plan) * plan.out_width + LANES
    return Scratch(0, _lines(sums + gradients + plan.unfolded))


def _chunk_lines(plan: Plan) -> int:
    """Lines of outputs that backward to the weights works on at a time."""
    return min(plan.out_height, max(1, PLACES // plan.out_width))


def scratch_size(plan: Plan) -> int:
    """Floats that the functions below need, with the present number of threads."""
    parts = (_forward_scratch(plan), _data_scratch(plan), _weight_scratch(plan))
    threads = _threads(plan)
    return CACHE_LINE + max(part.shared + threads * part.each for part in parts)


def _threads(plan: Plan) -> int:
    return max(1, min(num_threads(), plan.images * plan.groups))


def _parts(plan: Plan, scratch: F32, need: Scratch) -> tuple[int, F32]:
    """How many threads the scratch is enough for, and the scratch from a cache line on."""
    start = -(scratch.ctypes.data // 4) % CACHE_LINE
    enough = (scratch.size - start - need.shared) // need.each
    return min(_threads(plan), enough), scratch[start:]


# ---- the three products


def forward(plan: Plan, x: F32, weight: F32, y: F32, scratch: F32) -> None:
    """Add W * x to y."""
    need = _forward_scratch(plan)
    threads, work = _parts(plan, scratch, need)
    _pack_filters(plan, weight.reshape(-1), work)
    _forward(plan, x.reshape(-1), y.reshape(-1), work, need.shared, need.each, threads)


def backward_data(plan: Plan, dy: F32, weight: F32, dx: F32, scratch: F32) -> None:
    """Overwrite dx."""
    need = _data_scratch(plan)
    threads, work = _parts(plan, scratch, need)
    _pack_transposed_filters(plan, weight.reshape(-1), work)
    _backward_data(plan, dy.reshape(-1), dx.reshape(-1), work, need.shared, need.each, threads)


def backward_weight(plan: Plan, x: F32, dy: F32, dweight: F32, scratch: F32) -> None:
    """Add to dweight."""
    need = _weight_scratch(plan)
    threads, work = _parts(plan, scratch, need)
    _sum_products(plan, x.reshape(-1), dy.reshape(-1), work, need.each, _chunk_lines(plan), threads)
    _add_sums(plan, dweight.reshape(-1), work, need.each, threads)


@inner
def filter_at(plan: Plan, group: int, output: int, k: int) -> int:
    """Where in the weight the number of an output for row k = (r, c, s) of col is."""
    r, rest = divmod(k, plan.channels * plan.kernel_w)
    c, s = divmod(rest, plan.kernel_w)
    line = ((group * plan.outputs + output) * plan.channels + c) * plan.kernel_h + r
    return line * plan.kernel_w + s


@kernel
def _pack_filters(plan: Plan, weight: F32, out: F32) -> None:
    """W of each group as panels of ROWS outputs, all of K deep."""
    depth = plan.kernel_h * plan.channels * plan.kernel_w
    panels = (plan.outputs + ROWS - 1) // ROWS
    for panel in prange(plan.groups * panels):
        group, first = panel // panels, panel % panels * ROWS
        for k in range(depth):
            at = filter_at(plan, group, first, k)
            to = (panel * depth + k) * ROWS
            for i in range(ROWS):
                inside = first + i < plan.outputs
                out[to + i] = weight[at + i * depth] if inside else np.float32(0)


@kernel
def _pack_transposed_filters(plan: Plan, weight: F32, out: F32) -> None:
    """W.T of each group as panels of ROWS taps, all outputs deep."""
    depth = plan.kernel_h * plan.channels * plan.kernel_w
    panels = (depth + ROWS - 1) // ROWS
    for panel in prange(plan.groups * panels):
        group, first = panel // panels, panel % panels * ROWS
        for i in range(ROWS):
            at = filter_at(plan, group, 0, min(first + i, depth - 1))
            for o in range(plan.outputs):
                out[(panel * plan.outputs + o) * ROWS + i] = weight[at + o * depth]


@inner
def unfold(plan: Plan, x: F32, x0: int, out: F32, out0: int) -> None:
    """Write the channels of a group with their margins, each phase of the stride a plane."""
    to = out0
    for c in range(plan.channels):
        for a in range(plan.stride_h):
            for b in range(plan.stride_w):
                shift = b - plan.pad_w
                inside = places_inside(shift, plan.stride_w, plan.width, plan.line)
                for i in range(plan.lines):
                    h = i * plan.stride_h + a - plan.pad_h
                    first, last = inside if 0 <= h < plan.height else (plan.line, plan.line)
                    source = x0 + (c * plan.height + h) * plan.width + shift
                    for j in range(first):
                        out[to + j] = 0
                    for j in range(first, last):
                        out[to + j] = x[source + j * plan.stride_w]
                    for j in range(last, plan.line):
                        out[to + j] = 0
                    to += plan.line


@inner
def taps_that_see(plan: Plan, first_line: int, last_line: int) -> tuple[int, int]:
    """The range of k for which lines [first, last] of the output see more than margins."""
    first = (plan.pad_h - last_line * plan.stride_h + plan.dilation_h - 1) // plan.dilation_h
    last = (plan.height - 1 + plan.pad_h - first_line * plan.stride_h) // plan.dilation_h
    row = plan.channels * plan.kernel_w
    return max(first, 0) * row, min(last + 1, plan.kernel_h) * row


@inner
def lines_that_see(plan: Plan, first_k: int, last_k: int) -> tuple[int, int]:
    """The lines [first, last) of the output of which taps [first_k, last_k] see more than margins."""
    row = plan.channels * plan.kernel_w
    up = plan.pad_h - last_k // row * plan.dilation_h
    down = plan.height - 1 + plan.pad_h - first_k // row * plan.dilation_h
    first = max((up + plan.stride_h - 1) // plan.stride_h, 0)
    return first, min(down // plan.stride_h + 1, plan.out_height)


@inlined
def _pack_columns(
    plan: Plan, image: F32, image0: int, panel: int, first_k: int, last_k: int, out: F32, out0: int
) -> None:
    """A panel of col, for k in [first, last)."""
    for k in range(first_k, last_k):
        source, to = image0 + plan.taps[k], out0 + (k - first_k) * COLUMNS
        for copy in range(plan.first_copy[panel], plan.first_copy[panel + 1]):
            copy_lanes(image, source + plan.copy_from[copy], out, to + plan.copy_to[copy])


@kernel
def _forward(plan: Plan, x: F32, y: F32, work: F32, shared: int, each: int, threads: int) -> None:
    depth = plan.kernel_h * plan.channels * plan.kernel_w
    places = plan.out_height * plan.out_width
    size = plan.channels * plan.height * plan.width
    filters = (plan.outputs + ROWS - 1) // ROWS * ROWS * depth
    items = plan.images * plan.groups
    for thread in prange(threads):
        packed = shared + thread * each
        tile = packed + DEPTH_BLOCK * COLUMNS
        unfolded = tile + ROWS * COLUMNS
        for item in range(thread * items // threads, (thread + 1) * items // threads):
            # A copy may read LANES floats too many: the last image is not read in place.
            in_place = not plan.unfolds and item < items - 1
            image, image0 = (x, item * size) if in_place else (work, unfolded)
            if not in_place:
                unfold(plan, x, item * size, work, unfolded)
            for start in range(0, depth, DEPTH_BLOCK):
                for begin in range(0, places, COLUMNS):
                    end = min(begin + COLUMNS, places)
                    see = taps_that_see(plan, begin // plan.out_width, (end - 1) // plan.out_width)
                    first, last = max(see[0], start), min(see[1], start + DEPTH_BLOCK)
                    if first < last:
                        _pack_columns(
                            plan, image, image0, begin // COLUMNS, first, last, work, packed
                        )
                        multiply_packed(
                            plan.outputs, end - begin, last - first,
                            work, item % plan.groups * filters + first * ROWS, depth * ROWS,
                            work, packed, 0,
                            y, item * plan.outputs * places + begin, places, True, work, tile,
                        )  # fmt: skip


@kernel
def _backward_data(
    plan: Plan, dy: F32, dx: F32, work: F32, shared: int, each: int, threads: int
) -> None:
    depth = plan.kernel_h * plan.channels * plan.kernel_w
    places = plan.out_height * plan.out_width
    size = plan.channels * plan.height * plan.width
    filters = (depth + ROWS - 1) // ROWS * ROWS * plan.outputs
    items = plan.images * plan.groups
    for thread in prange(threads):
        columns = shared + thread * each
        tile = columns + ROWS * PLACES
        packed = tile + ROWS * COLUMNS
        for item in range(thread * items // threads, (thread + 1) * items // threads):
            for at in range(item * size, (item + 1) * size):
                dx[at] = 0
            for begin in range(0, places, PLACES):
                end = min(begin + PLACES, places)
                dy0 = item * plan.outputs * places + begin
                pack(dy, dy0, 1, places, end - begin, plan.outputs, int(COLUMNS), work, packed)
                for k in range(0, depth, ROWS):
                    count = min(ROWS, depth - k)
                    lines = lines_that_see(plan, k, k + count - 1)
                    # from the panel with the first of these lines to the end of the last
                    first = max(lines[0] * plan.out_width - begin, 0) // COLUMNS * COLUMNS
                    last = min(lines[1] * plan.out_width, end) - begin
                    if first >= last:
                        continue
                    for start in range(0, plan.outputs, DEPTH_BLOCK):
                        a = item % plan.groups * filters + k * plan.outputs + start * ROWS
                        b = packed + first * plan.outputs + start * COLUMNS
                        multiply_packed(
                            ROWS, last - first, min(DEPTH_BLOCK, plan.outputs - start),
                            work, a, 0, work, b, COLUMNS * plan.outputs,
                            work, columns + first, PLACES, start > 0, work, tile,
                        )  # fmt: skip
                    for i in range(count):
                        row = columns + i * PLACES + first
                        _add_row(
                            plan, work, row, k + i, begin + first, begin + last, dx, item * size
                        )


@inlined
def _add_row(
    plan: Plan, col: F32, col0: int, k: int, begin: int, end: int, dx: F32, dx0: int
) -> None:
    """Add the places [begin, end) of row k of col to the image where the tap sees them."""
    r, rest = divmod(k, plan.channels * plan.kernel_w)
    c, s = divmod(rest, plan.kernel_w)
    shift = s * plan.dilation_w - plan.pad_w
    first, last = places_inside(shift, plan.stride_w, plan.width, plan.out_width)
    for i in range(begin // plan.out_width, (end - 1) // plan.out_width + 1):
        h = i * plan.stride_h + r * plan.dilation_h - plan.pad_h
        if 0 <= h < plan.height:
            source = col0 + i * plan.out_width - begin
            to = dx0 + (c * plan.height + h) * plan.width + shift
            low = max(first, begin - i * plan.out_width)
            high = min(last, end - i * plan.out_width)
            if plan.stride_w == 1:
                for j in range(low, high):
                    dx[to + j] += col[source + j]
            else:
                for j in range(low, high):
                    dx[to + j * plan.stride_w] += col[source + j]


@kernel
def _sum_products(
    plan: Plan, x: F32, dy: F32, work: F32, each: int, chunk: int, threads: int
) -> None:
    """For each thread, [group][panel of outputs][tap][COLUMNS]: the products of its images."""
    places = plan.out_height * plan.out_width
    size = plan.channels * plan.height * plan.width
    panels = (plan.outputs + COLUMNS - 1) // COLUMNS
    taps = plan.taps.size
    sums_size = plan.groups * panels * taps * COLUMNS
    items = plan.images * plan.groups
    for thread in prange(threads):
        sums = thread * each
        packed = sums + sums_size
        unfolded = packed + panels * COLUMNS * chunk * plan.out_width + LANES
        for at in range(sums, sums + sums_size):
            work[at] = 0
        for item in range(thread * items // threads, (thread + 1) * items // threads):
            image, image0 = (work, unfolded) if plan.unfolds else (x, item * size)
            if plan.unfolds:
                unfold(plan, x, item * size, work, unfolded)
            for top in range(0, plan.out_height, chunk):
                bottom = min(top + chunk, plan.out_height)
                count = (bottom - top) * plan.out_width
                dy0 = item * plan.outputs * places + top * plan.out_width
                pack(dy, dy0, places, 1, plan.outputs, count, int(COLUMNS), work, packed)
                for panel in range(panels):
                    to = sums + (item % plan.groups * panels + panel) * taps * COLUMNS
                    for k in range(0, taps, ROWS):
                        first, last = lines_that_see(plan, k, min(k + ROWS, taps) - 1)
                        first, last = max(first, top), min(last, bottom)
                        if first < last:
                            b = packed + (panel * count + (first - top) * plan.out_width) * COLUMNS
                            multiply_taps(
                                last - first, plan.out_width,
                                image, image0 + first * plan.line, plan.line, plan.taps, k,
                                work, b, COLUMNS, work, to + k * COLUMNS, COLUMNS,
                            )  # fmt: skip


@kernel
def _add_sums(plan: Plan, dweight: F32, work: F32, each: int, threads: int) -> None:
    """Add the sums of all threads to dweight."""
    depth = plan.kernel_h * plan.channels * plan.kernel_w
    panels = (plan.outputs + COLUMNS - 1) // COLUMNS
    for output in prange(plan.groups * plan.outputs):
        group, o = divmod(output, plan.outputs)
        source = (group * panels + o // COLUMNS) * plan.taps.size * COLUMNS + o % COLUMNS
        for k in range(depth):
            total = np.float32(0)
            for thread in range(threads):
                total += work[thread * each + source + k * COLUMNS]
            dweight[filter_at(plan, group, o, k)] += total
