"""Convolution of planes as matrix products whose columns are never written out ("implicit GEMM").

    y (O, P) = W (O, K) @ col (K, P),   K = kernel_h * C * kernel_w,   P = out_h * out_w,   a group

Rows of `col` are pieces of lines of the unfolded image (_unfolded.py):

* forward copies DEPTH_BLOCK rows of `col` for BLOCK places, vector by vector, into a buffer from
  which the micro-kernel reads them. They stay in the second-level cache and are used for all O
  outputs, ROW_BLOCK of them at a time, whose filters stay there too.
* backward to the images is the same with rotated filters, where dy has about as many columns as dx
  (stride 1, padding). Elsewhere it makes TAPS rows of dcol (K, P) = W.T @ dy for BLOCK places, and
  adds them to an unfolded dx, vector by vector.
* backward to the weights sums over places, dW.T (K, O) = col (K, P) @ dy.T (P, O): the micro-kernel
  takes ROWS taps, and broadcasts what they see straight from the image.

Each is 2 N O P K operations, less those of taps that see nothing but margins. Of memory, each reads
and writes its arrays once; the copies of `col` are K P / O numbers for each of the output.

Threads share blocks of places, images, or outputs. The order of every sum is the same for every
number of threads; the gradient of the weights is summed for `_shares` shares of the batch, and
then over shares.
"""

from typing import NamedTuple

import numpy as np
from numba import prange
from numpy.typing import NDArray

from ._jit import inlined, inner, jitable, kernel, num_threads
from ._lanes import add_lanes, copy_lanes, fill_line
from ._micro_kernel import COLUMNS, VECTORS, multiply_taps
from ._unfolded import BLOCK, PITCH, Plan, fold, lines_that_see, taps_that_see, unfold
from ._unfolded import plan as make_plan
from ._vectors import LANES, ROWS
from .gemm import (
    CACHE_LINE,
    DEPTH_BLOCK,
    ROW_BLOCK,
    add_products,
    depth_block,
    multiply_packed,
    pack,
    padded_rows,
    panel_of,
)
from .relu import rectify_line

F32 = NDArray[np.float32]
I64 = NDArray[np.int64]

PLACES = 256  # that backward to the weights works on at a time
TAPS = 8 * ROWS  # that backward to the images works on at a time
TILE = ROWS * COLUMNS


# ---- scratch: floats for all threads, and for each thread


def _forward_scratch(plan: Plan) -> tuple[int, int]:
    filters = plan.groups * padded_rows(plan.outputs) * plan.depth
    bias = plan.groups * plan.outputs + ROWS
    return filters + bias, TILE + PITCH * DEPTH_BLOCK + LANES + plan.unfolded


def _data_scratch(plan: Plan) -> tuple[int, int]:
    back = _back(plan)
    if back is not None:
        return _forward_scratch(back)
    filters = plan.groups * _padded_taps(plan.depth) * plan.outputs
    return filters + 1, TILE + PITCH * TAPS + BLOCK * plan.outputs + plan.unfolded


def _back(plan: Plan) -> Plan | None:
    """The convolution of dy that gives dx, if there is one and it takes little longer.

    Where the stride is 1, dx is dy, with margins of kernel - 1 - pad, convolved with the rotated
    filters. The products with margins are in vain: dx has more columns than dy, unless the
    padding makes up for it.
    """
    pad_h = plan.dilation_h * (plan.kernel_h - 1) - plan.pad_h
    pad_w = plan.dilation_w * (plan.kernel_w - 1) - plan.pad_w
    if (plan.stride_h, plan.stride_w) != (1, 1) or min(pad_h, pad_w) < 0:
        return None
    if plan.width > 1.15 * plan.out_width:
        return None
    return make_plan(
        (plan.images, plan.groups * plan.outputs, plan.out_height, plan.out_width),
        (plan.images, plan.groups * plan.channels, plan.height, plan.width),
        (plan.kernel_h, plan.kernel_w), (1, 1), (pad_h, pad_w),
        (plan.dilation_h, plan.dilation_w), plan.groups,
    )  # fmt: skip


def _weight_scratch(plan: Plan) -> tuple[int, int]:
    outputs = _whole(plan.outputs, COLUMNS)
    return _shares(plan) * _sums(plan), outputs * _chunk(plan) * plan.out_width + plan.unfolded


def _sums(plan: Plan) -> int:
    """Floats of the sums of one share: [group][panel of outputs][tap][COLUMNS]."""
    return plan.groups * _whole(plan.outputs, COLUMNS) * plan.taps.size


def _shares(plan: Plan) -> int:
    """Into how many shares the batch is cut: whatever the threads, 8, or 4 MB of sums."""
    return max(1, min(plan.images, 8, (1 << 20) // _sums(plan)))


def _chunk(plan: Plan) -> int:
    """Lines of the output that backward to the weights works on at a time."""
    return min(plan.out_height, max(1, PLACES // plan.out_width))


def _whole(count: int, step: int) -> int:
    return -(-count // step) * step


def scratch_size(plan: Plan) -> int:
    """Floats that the functions below need on the present number of threads."""
    needs = (_forward_scratch(plan), _data_scratch(plan), _weight_scratch(plan))
    return max(
        CACHE_LINE + _whole(shared, CACHE_LINE) + num_threads() * _whole(each, CACHE_LINE)
        for shared, each in needs
    )


def _divide(scratch: F32, need: tuple[int, int]) -> tuple[F32, int, int, int]:
    """The scratch from a cache line on, floats for all and for each, threads it is enough for."""
    shared, each = (_whole(floats, CACHE_LINE) for floats in need)
    start = -(scratch.ctypes.data // 4) % CACHE_LINE
    threads = min(num_threads(), (scratch.size - start - shared) // each)
    return scratch[start:], shared, each, threads


# ---- the three products


def forward(
    plan: Plan, x: F32, weight: F32, bias: F32, y: F32, scratch: F32, slope: float = 1
) -> None:
    """y = W * x + bias; what is negative times the slope."""
    work, shared, each, threads = _divide(scratch, _forward_scratch(plan))
    bias0 = plan.groups * padded_rows(plan.outputs) * plan.depth
    work[bias0 : bias0 + bias.size] = bias
    _pack_filters(plan, weight.reshape(-1), _filters(plan), work)
    flat = x.reshape(-1), y.reshape(-1)
    _forward(plan, *flat, work, bias0, np.float32(slope), shared, each, threads)


def backward_data(plan: Plan, dy: F32, weight: F32, dx: F32, scratch: F32) -> None:
    """Overwrite dx."""
    work, shared, each, threads = _divide(scratch, _data_scratch(plan))
    back = _back(plan)
    if back is not None:
        bias0 = back.groups * padded_rows(back.outputs) * back.depth
        work[bias0 : bias0 + back.groups * back.outputs] = 0
        _pack_filters(back, weight.reshape(-1), _rotated_filters(back), work)
        flat = dy.reshape(-1), dx.reshape(-1)
        _forward(back, *flat, work, bias0, np.float32(1), shared, each, threads)
        return
    zero = plan.groups * _padded_taps(plan.depth) * plan.outputs
    work[zero] = 0
    _pack_transposed_filters(plan, weight.reshape(-1), work)
    _backward_data(plan, dy.reshape(-1), dx.reshape(-1), work, zero, shared, each, threads)


def backward_weight(plan: Plan, x: F32, dy: F32, dweight: F32, scratch: F32) -> None:
    """Add to dweight."""
    if plan.kernel_h * plan.kernel_w == 1 and not plan.unfolds:
        maps = (plan.images, plan.groups, -1, plan.places)
        for group in range(plan.groups):
            add_products(dy.reshape(maps), x.reshape(maps), dweight, group)
        return
    work, shared, each, threads = _divide(scratch, _weight_scratch(plan))
    shares, chunk = _shares(plan), _chunk(plan)
    parts = min(-(-plan.outputs // COLUMNS), -(-threads // (shares * plan.groups)))
    _sum_products(
        plan, x.reshape(-1), dy.reshape(-1), work, shared, each, threads, shares, parts, chunk
    )
    _add_shares(plan, dweight.reshape(-1), work, shares)


@inner
def filter_at(plan: Plan, group: int, output: int, r: int, c: int, s: int) -> int:
    """Where in the weight (O, C, kernel_h, kernel_w) of a group a number is."""
    line = ((group * plan.outputs + output) * plan.channels + c) * plan.kernel_h + r
    return line * plan.kernel_w + s


class Filters(NamedTuple):
    """Where number (r, c, s) of the filter of an output is: start + the sum of index * step."""

    start: int
    group: int
    output: int
    r: int
    c: int
    s: int


def _filters(plan: Plan) -> Filters:
    """Those of a weight (O, C, kernel_h, kernel_w)."""
    taps = plan.kernel_h * plan.kernel_w
    return Filters(0, plan.outputs * plan.depth, plan.depth, plan.kernel_w, taps, 1)


def _rotated_filters(back: Plan) -> Filters:
    """Those of the convolution of dy that gives dx: rotated, and inputs and outputs change places.

    `back` is its plan; the weight is that of the forward one, (C, O, kernel_h, kernel_w) here.
    """
    taps = back.kernel_h * back.kernel_w
    group = back.outputs * back.depth
    return Filters(taps - 1, group, taps, -back.kernel_w, back.outputs * taps, -1)


@kernel
def _pack_filters(plan: Plan, weight: F32, at: Filters, out: F32) -> None:
    """W of each group in panels, K deep, k = (r, c, s)."""
    rows = padded_rows(plan.outputs)
    for row in prange(plan.groups * rows):
        group, o = row // rows, row % rows
        first, height = panel_of(o, plan.outputs)
        if o > first:
            continue  # the panel's first row packs them all
        count = min(height, plan.outputs - first)
        source = at.start + group * at.group + first * at.output
        to = (group * rows + first) * plan.depth
        if plan.kernel_h * plan.kernel_w == 1:
            deep = plan.depth
            pack(weight, source, at.output, at.c, count, deep, height, out, to, deep)
            continue
        for r in range(plan.kernel_h):
            for c in range(plan.channels):
                for i in range(height):
                    tap = source + min(i, count - 1) * at.output + r * at.r + c * at.c
                    for s in range(plan.kernel_w):
                        out[to + s * height + i] = weight[tap + s * at.s]
                to += plan.kernel_w * height


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


@inner
def _pack_columns(
    plan: Plan, image: F32, image0: int, block: int, first: int, last: int, out: F32, out0: int
) -> None:
    """Write rows [first, last) of col for a block of places, PITCH floats a row.

    Run by run, a run for all rows. Whole vectors are copied: what one has beyond the end of its run
    is overwritten by the next run, or means nothing.
    """
    begin = plan.run_place[plan.first_run[block]]
    for run in range(plan.first_run[block], plan.first_run[block + 1]):
        source, to = image0 + plan.run_from[run], out0 + plan.run_place[run] - begin
        vectors = (plan.run_count[run] + LANES - 1) // LANES
        if vectors == 1:
            _copy_vectors(1, plan.taps, first, last, image, source, out, to)
        elif vectors == 2:
            _copy_vectors(2, plan.taps, first, last, image, source, out, to)
        elif vectors == 4:
            _copy_vectors(4, plan.taps, first, last, image, source, out, to)
        elif vectors == 8 * VECTORS:
            _copy_vectors(8 * VECTORS, plan.taps, first, last, image, source, out, to)
        else:
            _copy_vectors(vectors, plan.taps, first, last, image, source, out, to)


@inlined
def _copy_vectors(
    vectors: int, taps: I64, first: int, last: int, image: F32, source: int, out: F32, to: int
) -> None:
    """Copy so many vectors that each tap sees; a loop for itself for numbers that are common."""
    for k in range(first, last):
        at = source + taps[k]
        for v in range(0, vectors * LANES, LANES):
            copy_lanes(image, at + v, out, to + v)
        to += PITCH


@kernel
def _forward(
    plan: Plan, x: F32, y: F32, work: F32, bias0: int, slope: np.float32, shared: int, each: int,
    threads: int,
) -> None:  # fmt: skip
    filters = padded_rows(plan.outputs) * plan.depth
    deep = depth_block(plan.depth)
    items = plan.images * plan.groups
    blocks = (plan.places + BLOCK - 1) // BLOCK
    tasks = items * blocks
    row_blocks = (plan.outputs + ROW_BLOCK - 1) // ROW_BLOCK
    parts = min(row_blocks, (threads + tasks - 1) // tasks)  # of the outputs, where tasks are few
    tasks *= parts
    for thread in prange(threads):
        tile = shared + thread * each
        packed = tile + TILE
        unfolded = packed + PITCH * DEPTH_BLOCK + LANES
        item = -1
        for task in range(thread * tasks // threads, (thread + 1) * tasks // threads):
            # A vector may reach beyond the end of the image: the last is not read in place.
            beyond = (task // parts // blocks + 1) * plan.image + LANES
            in_place = not plan.unfolds and beyond <= x.size
            if item != task // parts // blocks:
                item = task // parts // blocks
                if not in_place:
                    unfold(plan, x, item * plan.image, work, unfolded)
            image, image0 = (x, item * plan.image) if in_place else (work, unfolded)
            part, block = task % parts, task // parts % blocks
            first_row, last_row = part * row_blocks // parts, (part + 1) * row_blocks // parts
            begin = block * BLOCK
            end = min(begin + BLOCK, plan.places)
            group = item % plan.groups
            y0 = item * plan.outputs * plan.places
            seen = taps_that_see(plan, begin, end)
            for start in range(0, plan.depth, deep):
                first, last = max(seen[0], start), min(seen[1], start + deep)
                _pack_columns(plan, image, image0, block, first, last, work, packed)
                for o in range(first_row * ROW_BLOCK, last_row * ROW_BLOCK, ROW_BLOCK):
                    for panel in range(begin, end, COLUMNS):
                        wide = min(COLUMNS, end - panel)
                        low, high = taps_that_see(plan, panel, panel + wide)
                        low, high = max(low, start), min(high, start + deep)
                        a = group * filters + o * plan.depth
                        multiply_packed(
                            min(ROW_BLOCK, plan.outputs - o), wide, high - low,
                            work, a, plan.depth, low,
                            work, packed + panel - begin + (low - first) * PITCH, 0, int(PITCH),
                            work, bias0 + group * plan.outputs + o, 1,
                            y, y0 + o * plan.places + panel, plan.places, start > 0, work, tile,
                        )  # fmt: skip
            if slope != 1:
                for o in range(first_row * ROW_BLOCK, min(last_row * ROW_BLOCK, plan.outputs)):
                    at = y0 + o * plan.places
                    rectify_line(y[at + begin : at + end], slope)


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
                pack(dy, dy0, 1, plan.places, wide, rows, int(COLUMNS), work, packed, rows)
                for k in range(0, plan.depth, TAPS):
                    count = min(TAPS, plan.depth - k)
                    a = item % plan.groups * filters + k * plan.outputs
                    for start in range(0, plan.outputs, deep):
                        multiply_packed(
                            count, wide, min(deep, plan.outputs - start), work, a, plan.outputs,
                            start, work, packed + start * COLUMNS, COLUMNS * plan.outputs,
                            int(COLUMNS), work, zero, 0, work, columns, int(PITCH), start > 0,
                            work, tile,
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


@kernel
def _sum_products(
    plan: Plan, x: F32, dy: F32, work: F32, shared: int, each: int, threads: int,
    shares: int, parts: int, chunk: int,
) -> None:  # fmt: skip
    """For each share, [group][panel of outputs][tap][COLUMNS]: the sums over its images.

    A task is a share, a group, and a part of the panels of outputs.
    """
    panels = (plan.outputs + COLUMNS - 1) // COLUMNS
    taps = plan.taps.size
    tasks = shares * plan.groups * parts
    for thread in prange(threads):
        packed = shared + thread * each
        unfolded = packed + panels * COLUMNS * chunk * plan.out_width
        for task in range(thread * tasks // threads, (thread + 1) * tasks // threads):
            share, group, part = (
                task // parts // plan.groups,
                task // parts % plan.groups,
                task % parts,
            )
            first, last = part * panels // parts, (part + 1) * panels // parts
            outputs = min(last * COLUMNS, plan.outputs) - first * COLUMNS
            sums = ((share * plan.groups + group) * panels + first) * taps * COLUMNS
            fill_line((last - first) * taps * COLUMNS, np.float32(0), work, sums)
            for n in range(share * plan.images // shares, (share + 1) * plan.images // shares):
                item = n * plan.groups + group
                if plan.unfolds:
                    unfold(plan, x, item * plan.image, work, unfolded)
                image, image0 = (work, unfolded) if plan.unfolds else (x, item * plan.image)
                for top in range(0, plan.out_height, chunk):
                    bottom = min(top + chunk, plan.out_height)
                    deep = (bottom - top) * plan.out_width
                    dy0 = (item * plan.outputs + first * COLUMNS) * plan.places
                    dy0 += top * plan.out_width
                    pack(dy, dy0, plan.places, 1, outputs, deep, int(COLUMNS), work, packed, deep)
                    for panel in range(last - first):
                        _multiply_lines(
                            plan, image, image0, top, bottom, work, packed + panel * deep * COLUMNS,
                            work, sums + panel * taps * COLUMNS,
                        )  # fmt: skip


@inlined
def _multiply_lines(
    plan: Plan, image: F32, image0: int, top: int, bottom: int, dy: F32, dy0: int,
    sums: F32, sums0: int,
) -> None:  # fmt: skip
    """sums[k] += sum over places of lines [top, bottom) of what tap k sees times dy."""
    for k in range(0, plan.depth, ROWS):
        seen = lines_that_see(plan, k, min(k + ROWS, plan.depth) - 1)
        first, last = max(seen[0], top), min(seen[1], bottom)
        if first < last:
            joined = plan.line == plan.out_width  # lines follow each other without a gap
            multiply_taps(
                1 if joined else last - first,
                (last - first) * plan.out_width if joined else plan.out_width,
                image, image0 + first * plan.line, plan.line, plan.taps, k,
                dy, dy0 + (first - top) * plan.out_width * COLUMNS, COLUMNS,
                sums, sums0 + k * COLUMNS, COLUMNS,
            )  # fmt: skip


@kernel
def _add_shares(plan: Plan, dweight: F32, work: F32, shares: int) -> None:
    """Add the sums of all shares to dweight."""
    panels = (plan.outputs + COLUMNS - 1) // COLUMNS
    taps = plan.taps.size
    for output in prange(plan.groups * plan.outputs):
        group, o = output // plan.outputs, output % plan.outputs
        source = (group * panels + o // COLUMNS) * taps * COLUMNS + o % COLUMNS
        for r in range(plan.kernel_h):
            for c in range(plan.channels):
                for s in range(plan.kernel_w):
                    total = np.float32(0)
                    for share in range(shares):
                        total += work[source + share * plan.groups * panels * taps * COLUMNS]
                    dweight[filter_at(plan, group, o, r, c, s)] += total
                    source += COLUMNS
