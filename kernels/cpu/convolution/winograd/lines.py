"""Convolution with small filters and stride 1 by Winograd's minimal filtering.

The planes are cut into tiles (winograd/tiles.py), and tiles and filters transformed
(winograd/transforms.py). For each of the n x n elements of a tile there is then a matrix product
over channels, which is where the multiplications are:

    M (O, T) = U (O, C) @ V (C, T)       for each element, T tiles

n^2 / m^2 multiplications a pixel, channel and output, instead of r^2: 2.25 times fewer with
F(2 x 2, 3 x 3), 4 times with F(4 x 4, 3 x 3), 2.78 times with F(2 x 2, 5 x 5). In return V and M
are n^2 / m^2 times as large as images and outputs: 4, 2.25 and 9 times; and U is n^2 / r^2 times as
large as the filters. V and M are made for blocks of 32 to 128 tiles, 4 n^2 (C + O) bytes a tile,
and are read from the caches again (`tiles_near`); U is written once, and read once a block. The
transforms write V and U in the panels that the micro-kernel reads, so that nothing is packed. They
take 1 to 3 operations a number, and 10 to 30 % of the time.

* forward: filters are transformed once; then for each block V = B^T d B, the products, and
  y = A^T M A + bias.
* backward to the images is a convolution of dy with mirrored filters, padded by r - 1 - pad.
* backward to the weights is forward's adjoint (winograd/lines_gradient.py).

Threads share blocks of tiles. The order of every sum is the same for every number of threads.
Which of the three products of a convolution is done so, and with what tiles, is decided in
choice.py; small planes go through winograd/images.py and winograd/channels.py.
"""

from typing import NamedTuple

import numpy as np
from numba import prange
from numpy.typing import NDArray

from ..._compile.jit import inner, kernel
from ..._vector.fetching import fetch
from ..._vector.instructions import LANES, ROWS
from ..._vector.lanes import fill_line
from ..._vector.scratch import Scratch, whole
from ...gemm.micro_kernel import COLUMNS
from ..plan import DATA, FORWARD, WEIGHT, Plan, Sizes, transposed
from ..taps import turn_taps
from . import lines_gradient
from .products import multiply_packed_rows, panel_at, panel_count, panel_rows
from .tiles import Tiling, tiles_near, tiling, transform_inputs, transform_outputs, working_memory
from .transforms import FILTER, transform

F32 = NDArray[np.float32]
ZERO = np.float32(0)


def scratch_size(plan: Plan) -> int:
    """No scratch of the layer's own, but what it keeps: see `working_memory`."""
    return 0


def filters_size(plan: Plan, product: int) -> int:
    """Floats of the transformed filters of FORWARD or DATA, for who keeps them."""
    sizes = transposed(plan.sizes) if product == DATA else plan.sizes
    return _filters_size(_tiling(plan.ways[product].filtering, sizes))


def _tiling(which: int, sizes: Sizes) -> Tiling:
    return tiling(which, sizes, tiles_near(which, sizes))


def _filters_size(t: Tiling) -> int:
    return t.groups * t.n * t.n * t.filter_step


# ---- the three products


def forward(
    plan: Plan, x: F32, weight: F32, bias: F32, y: F32, scratch: F32, kept: bool | None = None
) -> None:
    """y = W * x + bias."""
    t = _tiling(plan.ways[FORWARD].filtering, plan.sizes)
    filters = Filters(t.channels * t.r * t.r, t.r * t.r, False)
    _run(t, filters, x, weight, bias, y, scratch, kept)


def backward_data(
    plan: Plan, dy: F32, weight: F32, dx: F32, scratch: F32, kept: bool | None = None
) -> None:
    """Overwrite dx."""
    t = _tiling(plan.ways[DATA].filtering, transposed(plan.sizes))
    filters = Filters(t.r * t.r, t.outputs * t.r * t.r, True)
    bias = np.zeros(dx.shape[1], np.float32)
    _run(t, filters, dy, weight, bias, dx, scratch, kept)


def backward_weight(plan: Plan, x: F32, dy: F32, dweight: F32, scratch: F32) -> None:
    """Add to dweight."""
    t = tiling(plan.ways[WEIGHT].filtering, plan.sizes)
    lines_gradient.backward_weight(t, x, dy, dweight)


class Filters(NamedTuple):
    """Where filters are: that from channel k to output i of a group at i * row + k * channel."""

    row: int
    channel: int
    mirrored: bool


def _run(
    t: Tiling, filters: Filters, x: F32, weight: F32, bias: F32, y: F32, scratch: F32,
    kept: bool | None,
) -> None:  # fmt: skip
    squares = t.n * t.n
    lines = t.line + t.stage + t.m * LANES + t.r * t.r * ROWS + 2 * LANES
    each = lines + squares * (t.input_step + t.output_step)
    work, made = transformed_filters(t, filters, weight, each, scratch, kept)
    _convolve(t, x.reshape(-1), made, bias, y.reshape(-1), work, _balanced(t, work.threads))


def transformed_filters(
    t: Tiling, filters: Filters, weight: F32, each: int, scratch: F32, kept: bool | None
) -> tuple[Scratch, F32]:
    """Working memory with so many floats for each thread, and the filters: there, or kept."""
    work = working_memory(_filters_size(t) if kept is None else 0, each)
    made = work.floats if kept is None else scratch
    if not kept:
        transform_filters(t, filters, weight.reshape(-1), made, work)
    return work, made


def _balanced(t: Tiling, threads: int) -> int:
    """Rows a block, such that each thread gets as many blocks."""
    rows = t.images * t.tiles_h
    blocks = -(-rows // t.rows) * t.groups
    return -(-rows // (whole(blocks, threads) // t.groups or 1)) if threads > 1 else t.rows


@kernel
def transform_filters(t: Tiling, filters: Filters, weight: F32, out: F32, work: Scratch) -> None:
    """U = G g G^T of all filters, [group][element][panel of outputs][channel][output]."""
    memory, taps = work.floats, t.r * t.r
    panels = panel_count(t.outputs)
    tasks = t.groups * panels
    for thread in prange(work.threads):
        packed = work.shared + thread * work.each
        for task in range(thread * tasks // work.threads, (thread + 1) * tasks // work.threads):
            group = task // panels
            first, high = panel_rows(task % panels, t.outputs)
            count = min(high, t.outputs - first)
            source = group * t.outputs * t.channels * taps + first * filters.row
            to = group * t.n * t.n * t.filter_step + panel_at(first, t.channels)
            start, tap = (packed + (taps - 1) * high, -high) if filters.mirrored else (packed, high)
            for k in range(0, t.channels, LANES):
                channels = min(LANES, t.channels - k)
                at = source + k * filters.channel
                _turn_filters(t, filters, weight, at, count, channels, high, memory, packed)
                for c in range(channels):
                    for lane in range(0, high, LANES):
                        transform(
                            FILTER, t.which, memory, start + c * taps * high + lane, t.r * tap, tap,
                            out, to + (k + c) * high + lane, t.filter_step,
                        )  # fmt: skip


@inner
def _turn_filters(
    t: Tiling, filters: Filters, weight: F32, at: int, count: int, channels: int, high: int,
    out: F32, out0: int,
) -> None:  # fmt: skip
    """Write [channel][tap][output] of `count` outputs; `high` is the panel's.

    Forward, filters to one output lie side by side. Backward to the images those from one channel
    do, and the next channel's are far away: they are fetched meanwhile.
    """
    taps = t.r * t.r
    if filters.channel == taps:
        turn_taps(count, channels * taps, weight, at, filters.row, out, out0, high)
        return
    for c in range(channels):
        source = at + c * filters.channel
        fetch(count * taps, weight, source + LANES * filters.channel)
        turn_taps(count, taps, weight, source, filters.row, out, out0 + c * taps * high, high)


@kernel
def _convolve(t: Tiling, x: F32, filters: F32, bias: F32, y: F32, work: Scratch, rows: int) -> None:
    """Convolve blocks of `rows` rows of tiles with the transformed filters."""
    memory, all_rows = work.floats, t.images * t.tiles_h
    blocks = (all_rows + rows - 1) // rows
    tasks = t.groups * blocks
    squares = t.n * t.n
    for thread in prange(work.threads):
        padded = work.shared + thread * work.each
        stage = padded + t.line
        line = stage + t.stage + LANES
        inputs = line + t.m * LANES
        products = inputs + squares * t.input_step
        fill_line(t.line, ZERO, memory, padded)
        for task in range(thread * tasks // work.threads, (thread + 1) * tasks // work.threads):
            group, first = task // blocks, task % blocks * rows
            last = min(first + rows, all_rows)
            columns = ((last - first) * t.tiles_w + COLUMNS - 1) // COLUMNS * COLUMNS
            for c in range(t.channels):
                transform_inputs(
                    t, x, group * t.channels + c, first, last, memory, padded, stage,
                    inputs + c * COLUMNS, t.panel, t.input_step,
                )  # fmt: skip
            for element in range(squares):
                multiply_packed_rows(
                    t.outputs, columns, t.channels,
                    filters, (group * squares + element) * t.filter_step,
                    memory, inputs + element * t.input_step, t.panel,
                    products + element * t.output_step, t.output_line,
                )  # fmt: skip
            for o in range(t.outputs):
                plane = group * t.outputs + o
                transform_outputs(
                    t, y, plane, bias[plane], first, last, memory, line, stage,
                    products + o * t.output_line,
                )  # fmt: skip
