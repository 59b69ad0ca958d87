"""Convolution of planes as matrix products whose columns are never written out ("implicit GEMM").

    y (O, P) = W (O, K) @ col (K, P),   K = kernel_h * C * kernel_w,   P = out_h * out_w,   a group

Rows of `col` are read where they are, in the unfolded image (_unfolded.py):

* forward copies PANELS panels of `col`, COLUMNS places each, vector by vector, in the form in which
  the micro-kernel reads them. They stay in the second-level cache and are used for all O outputs.
* backward to the images makes ROWS rows of dcol (K, P) = W.T @ dy for PLACES places, and adds them
  to an unfolded dx, vector by vector.
* backward to the weights sums over places, dW.T (K, O) = col (K, P) @ dy.T (P, O): the micro-kernel
  takes ROWS taps, and broadcasts what they see straight from the image.

Each is 2 N O P K operations, less those of taps that see nothing but margins.

Threads share blocks of places, images, or outputs. The order of every sum is the same for every
number of threads; the gradient of the weights is summed for `_shares` shares of the batch, and
then over shares.
"""

import numpy as np
from numba import prange
from numpy.typing import NDArray

from ._jit import inlined, inner, kernel, num_threads
from ._lanes import add_lanes, copy_lanes, fill_line
from ._micro_kernel import COLUMNS, multiply_taps
from ._unfolded import PANEL_ROWS, Plan, fold, lines_that_see, taps_that_see, unfold
from ._vectors import ROWS
from .gemm import CACHE_LINE, DEPTH_BLOCK, multiply_packed, pack

F32 = NDArray[np.float32]

PANELS = 8  # packed together: the lines of the image are read in pieces of PANELS * COLUMNS
PLACES = 256  # that backward works on at a time
TILE = ROWS * COLUMNS


# ---- scratch: floats for all threads, and for each thread


def _forward_scratch(plan: Plan) -> tuple[int, int]:
    filters = plan.groups * _whole(plan.outputs, ROWS) * plan.depth
    return filters, TILE + PANELS * PANEL_ROWS * COLUMNS + plan.unfolded


def _data_scratch(plan: Plan) -> tuple[int, int]:
    filters = plan.groups * _whole(plan.depth, ROWS) * plan.outputs
    return filters, TILE + PLACES * (ROWS + plan.outputs) + plan.unfolded


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


def forward(plan: Plan, x: F32, weight: F32, bias: F32, y: F32, scratch: F32) -> None:
    """y = W * x + bias."""
    work, shared, each, threads = _divide(scratch, _forward_scratch(plan))
    _pack_filters(plan, weight.reshape(-1), work)
    _forward(plan, x.reshape(-1), bias, y.reshape(-1), work, shared, each, threads)


def backward_data(plan: Plan, dy: F32, weight: F32, dx: F32, scratch: F32) -> None:
    """Overwrite dx."""
    work, shared, each, threads = _divide(scratch, _data_scratch(plan))
    _pack_transposed_filters(plan, weight.reshape(-1), work)
    _backward_data(plan, dy.reshape(-1), dx.reshape(-1), work, shared, each, threads)


def backward_weight(plan: Plan, x: F32, dy: F32, dweight: F32, scratch: F32) -> None:
    """Add to dweight."""
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


@kernel
def _pack_filters(plan: Plan, weight: F32, out: F32) -> None:
    """W of each group in panels of ROWS outputs, K deep, k = (r, c, s)."""
    panels = (plan.outputs + ROWS - 1) // ROWS
    for panel in prange(plan.groups * panels):
        group, first = panel // panels, panel % panels * ROWS
        to = panel * plan.depth * ROWS
        for r in range(plan.kernel_h):
            for c in range(plan.channels):
                for s in range(plan.kernel_w):
                    at = filter_at(plan, group, first, r, c, s)
                    for i in range(ROWS):
                        inside = first + i < plan.outputs
                        out[to + i] = weight[at + i * plan.depth] if inside else np.float32(0)
                    to += ROWS


@kernel
def _pack_transposed_filters(plan: Plan, weight: F32, out: F32) -> None:
    """W.T of each group in panels of ROWS taps, O deep, the taps in the order (r, s, c)."""
    panels = (plan.depth + ROWS - 1) // ROWS
    for panel in prange(plan.groups * panels):
        group, first = panel // panels, panel % panels * ROWS
        to = panel * plan.outputs * ROWS
        for i in range(ROWS):
            rs, c = divmod(min(first + i, plan.depth - 1), plan.channels)
            at = filter_at(plan, group, 0, rs // plan.kernel_w, c, rs % plan.kernel_w)
            for o in range(plan.outputs):
                out[to + o * ROWS + i] = weight[at + o * plan.depth]


@inlined
def _pack_columns(
    plan: Plan, image: F32, image0: int, begin: int, end: int, first: int, last: int,
    out: F32, out0: int,
) -> None:  # fmt: skip
    """Pack places [begin, end) of rows [first, last) of col, PANEL_ROWS * COLUMNS floats a panel.

    What a vector has beyond its count is overwritten by the next, or means nothing.
    """
    vectors = range(
        plan.first_vector[begin // COLUMNS], plan.first_vector[(end + COLUMNS - 1) // COLUMNS]
    )
    start = out0 - begin * PANEL_ROWS
    for k in range(first, last):
        source, to = image0 + plan.taps[k], start + (k - first) * COLUMNS
        for v in vectors:
            copy_lanes(image, source + plan.vector_from[v], out, to + plan.vector_packed[v])


@kernel
def _forward(
    plan: Plan, x: F32, bias: F32, y: F32, work: F32, shared: int, each: int, threads: int
) -> None:
    filters = (plan.outputs + ROWS - 1) // ROWS * ROWS * plan.depth
    items = plan.images * plan.groups
    blocks = (plan.places + PANELS * COLUMNS - 1) // (PANELS * COLUMNS)
    for thread in prange(threads):
        tile = shared + thread * each
        packed = tile + TILE
        unfolded = packed + PANELS * PANEL_ROWS * COLUMNS
        item = -1
        for task in range(
            thread * items * blocks // threads, (thread + 1) * items * blocks // threads
        ):
            # The last image is not read in place: vectors may reach beyond its end.
            in_place = not plan.unfolds and task // blocks < items - 1
            if item != task // blocks:
                item = task // blocks
                if not in_place:
                    unfold(plan, x, item * plan.image, work, unfolded)
            image, image0 = (x, item * plan.image) if in_place else (work, unfolded)
            begin = task % blocks * PANELS * COLUMNS
            end = min(begin + PANELS * COLUMNS, plan.places)
            group = item % plan.groups
            y0 = item * plan.outputs * plan.places
            for o in range(plan.outputs):
                value = bias[group * plan.outputs + o]
                fill_line(end - begin, value, y, y0 + o * plan.places + begin)
            for start in range(0, plan.depth, DEPTH_BLOCK):
                first, last = _taps_of(plan, begin, end, start)
                _pack_columns(plan, image, image0, begin, end, first, last, work, packed)
                for panel in range(begin, end, COLUMNS):
                    wide = min(COLUMNS, end - panel)
                    low, high = _taps_of(plan, panel, panel + wide, start)
                    a = group * filters + low * ROWS
                    b = packed + (panel - begin) * PANEL_ROWS + (low - first) * COLUMNS
                    if low < high:
                        multiply_packed(
                            plan.outputs, wide, high - low, work, a, plan.depth * ROWS, work, b, 0,
                            y, y0 + panel, plan.places, True, work, tile,
                        )  # fmt: skip


@inner
def _taps_of(plan: Plan, begin: int, end: int, start: int) -> tuple[int, int]:
    """The taps in the block of K from `start` on that places [begin, end) need."""
    first, last = taps_that_see(plan, begin, end)
    return max(first, start), min(last, start + DEPTH_BLOCK)


@kernel
def _backward_data(
    plan: Plan, dy: F32, dx: F32, work: F32, shared: int, each: int, threads: int
) -> None:
    filters = (plan.depth + ROWS - 1) // ROWS * ROWS * plan.outputs
    one_tap = plan.depth == plan.channels and not plan.unfolds  # then dcol is dx
    items = plan.images * plan.groups
    for thread in prange(threads):
        tile = shared + thread * each
        columns = tile + TILE
        packed = columns + PLACES * ROWS
        unfolded = packed + PLACES * plan.outputs
        for item in range(thread * items // threads, (thread + 1) * items // threads):
            if not one_tap:
                fill_line(plan.unfolded, np.float32(0), work, unfolded)
            for begin in range(0, plan.places, PLACES):
                end = min(begin + PLACES, plan.places)
                dy0 = item * plan.outputs * plan.places + begin
                pack(dy, dy0, 1, plan.places, end - begin, plan.outputs, int(COLUMNS), work, packed)
                for k in range(0, plan.depth, ROWS):
                    count = min(ROWS, plan.depth - k)
                    # from the panel with the first line that matters to the end of the last
                    top, bottom = lines_that_see(plan, k, k + count - 1)
                    first = max(top * plan.out_width - begin, 0) // COLUMNS * COLUMNS
                    last = min(bottom * plan.out_width, end) - begin
                    if first >= last:
                        continue
                    for start in range(0, plan.outputs, DEPTH_BLOCK):
                        a = item % plan.groups * filters + k * plan.outputs + start * ROWS
                        b = packed + first * plan.outputs + start * COLUMNS
                        multiply_packed(
                            count, last - first, min(DEPTH_BLOCK, plan.outputs - start),
                            work, a, 0, work, b, COLUMNS * plan.outputs,
                            dx if one_tap else work,
                            item * plan.image + k * plan.places + begin if one_tap
                            else columns + first,
                            plan.places if one_tap else PLACES, start > 0, work, tile,
                        )  # fmt: skip
                    if not one_tap:
                        for i in range(count):
                            row = columns + i * PLACES - begin
                            to = unfolded + plan.taps_by_channel[k + i]
                            _add_row(plan, work, row, begin + first, begin + last, work, to)
            if not one_tap:
                fold(plan, work, unfolded, dx, item * plan.image)


@inlined
def _add_row(
    plan: Plan, col: F32, col0: int, begin: int, end: int, image: F32, image0: int
) -> None:
    """Add places [begin, end) of a row of col to the unfolded image that its tap sees."""
    for v in range(
        plan.first_vector[begin // COLUMNS], plan.first_vector[(end + COLUMNS - 1) // COLUMNS]
    ):
        add_lanes(
            plan.vector_count[v], col, col0 + plan.vector_place[v],
            image, image0 + plan.vector_from[v],
        )  # fmt: skip


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
                    pack(dy, dy0, plan.places, 1, outputs, deep, int(COLUMNS), work, packed)
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
            multiply_taps(
                last - first, plan.out_width,
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
