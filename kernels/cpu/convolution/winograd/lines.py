"""Convolution with small filters and stride 1 by Winograd's minimal filtering.

The planes are cut into tiles (winograd/tiles.py), and tiles and filters transformed
(winograd/transforms.py). For each of the n x n elements of a tile there is then a matrix product
over channels, which is where the multiplications are:

    M (O, T) = U (O, C) @ V (C, T)       for each element, T tiles

n^2 / m^2 multiplications a place, channel and output, instead of r^2: 2.25 times fewer with
F(2 x 2, 3 x 3), 4 times with F(4 x 4, 3 x 3), 2.78 times with F(2 x 2, 5 x 5). In return V and M
are n^2 / m^2 times as large as images and outputs: 4, 2.25 and 9 times; and U is n^2 / r^2 times as
large as the filters. V and M are made for blocks of some 100 tiles, 4 n^2 (C + O) bytes a tile, and
are read from the caches again; U is written once, and read once a block. The transforms write V and
U in the panels that the micro-kernel reads, so that nothing is packed. They take 1 to 3 operations
a number, and 10 to 30 % of the time.

* forward: filters are transformed once; then for each block V = B^T d B, the products, and
  y = A^T M A + bias.
* backward to the images is a convolution of dy with mirrored filters, and margins r - 1 - pad.
* backward to the weights is forward's adjoint (winograd/lines_gradient.py).

Threads share blocks of tiles. The order of every sum is the same for every number of threads.
Which of the three products of a convolution is done so, and with what tiles, is decided in
winograd/choice.py and choice.py; small planes go through winograd/images.py and
winograd/channels.py.
"""

import numpy as np
from numba import prange
from numpy.typing import NDArray

from ..._compile.jit import inner, kernel
from ..._vector.instructions import LANES, ROWS
from ..._vector.lanes import fill_line
from ..._vector.scratch import whole
from ...gemm.matrix import Vectors
from ...gemm.micro_kernel import COLUMNS
from ...gemm.packing import pack
from ...relu import rectify_line
from ..unfolded import Plan
from . import lines_gradient as weights
from .choice import DATA, FORWARD, WEIGHT, choice
from .products import multiply_packed_rows, panel_at, panel_count, panel_rows
from .tiles import (
    ZERO,
    Tiling,
    tiling,
    transform_inputs,
    transform_outputs,
    transposed,
    working_memory,
)
from .transforms import FILTER, transform

F32 = NDArray[np.float32]


# ---- the three products


def scratch_size(plan: Plan) -> int:
    """No scratch of the layer's own: see `working_memory`."""
    return 0


def forward(
    plan: Plan, x: F32, weight: F32, bias: F32, y: F32, scratch: F32, slope: float = 1
) -> None:
    """y = W * x + bias; what is negative times the slope."""
    t = tiling(choice(plan, FORWARD), plan)
    work, shared, each, threads = _working_memory(t)
    steps = plan.channels * t.r * t.r, t.r * t.r
    transform_filters(t, weight.reshape(-1), work, *steps, False, shared, each, threads)
    rows = _balanced(t, threads)
    flat, factor = (x.reshape(-1), bias, y.reshape(-1)), np.float32(slope)
    _convolve(t, *flat, factor, work, shared, each, threads, rows)


def backward_data(plan: Plan, dy: F32, weight: F32, dx: F32, scratch: F32) -> None:
    """Overwrite dx."""
    t = transposed(choice(plan, DATA), plan)
    work, shared, each, threads = _working_memory(t)
    steps = t.r * t.r, plan.channels * t.r * t.r
    transform_filters(t, weight.reshape(-1), work, *steps, True, shared, each, threads)
    bias = np.zeros(dx.shape[1], np.float32)
    rows = _balanced(t, threads)
    flat = dy.reshape(-1), bias, dx.reshape(-1)
    _convolve(t, *flat, np.float32(1), work, shared, each, threads, rows)


def backward_weight(plan: Plan, x: F32, dy: F32, dweight: F32, scratch: F32) -> None:
    """Add to dweight."""
    weights.backward_weight(tiling(choice(plan, WEIGHT), plan), x, dy, dweight)


def _working_memory(t: Tiling) -> tuple[F32, int, int, int]:
    squares = t.n * t.n
    lines = t.line + t.stage + t.m * LANES + t.r * t.r * ROWS + 2 * LANES
    each = lines + squares * (t.input_step + t.output_step)
    return working_memory(t.groups * squares * t.filter_step, each)


def _balanced(t: Tiling, threads: int) -> int:
    """Rows a block, such that each thread gets as many blocks."""
    rows = t.images * t.tiles_h
    blocks = -(-rows // t.rows) * t.groups
    return -(-rows // (whole(blocks, threads) // t.groups or 1)) if threads > 1 else t.rows


@kernel
def transform_filters(
    t: Tiling, weight: F32, work: F32, row_step: int, k_step: int, mirrored: bool,
    shared: int, each: int, threads: int,
) -> None:  # fmt: skip
    """U = G g G^T of all filters, [group][element][panel of outputs][channel][output].

    The filter from channel k to output i of a group is at i * row_step + k * k_step.
    """
    taps = t.r * t.r
    panels = panel_count(t.outputs)
    for thread in prange(threads):
        packed = shared + thread * each
        tasks = t.groups * panels
        for task in range(thread * tasks // threads, (thread + 1) * tasks // threads):
            group = task // panels
            first, high = panel_rows(task % panels, t.outputs)
            count = min(high, t.outputs - first)
            source = group * t.outputs * t.channels * taps + first * row_step
            to = group * t.n * t.n * t.filter_step + panel_at(first, t.channels)
            start, tap = (packed + (taps - 1) * high, -high) if mirrored else (packed, high)
            for k in range(t.channels):
                at = source + k * k_step
                pack(Vectors(weight, at, row_step, 1), count, taps, high, work, packed, taps)
                for lane in range(0, high, LANES):
                    transform(
                        FILTER, t.which, work, start + lane, t.r * tap, tap,
                        work, to + k * high + lane, t.filter_step,
                    )  # fmt: skip


@kernel
def _convolve(
    t: Tiling, x: F32, bias: F32, y: F32, slope: np.float32, work: F32, shared: int, each: int,
    threads: int, rows: int,
) -> None:  # fmt: skip
    """Convolve blocks of tiles with the transformed filters in `work`, and rectify the outputs."""
    all_rows = t.images * t.tiles_h
    blocks = (all_rows + rows - 1) // rows
    squares = t.n * t.n
    for thread in prange(threads):
        margins = shared + thread * each
        stage = margins + t.line
        line = stage + t.stage + LANES
        inputs = line + t.m * LANES
        products = inputs + squares * t.input_step
        fill_line(t.line, ZERO, work, margins)
        tasks = t.groups * blocks
        for task in range(thread * tasks // threads, (thread + 1) * tasks // threads):
            group, first = task // blocks, task % blocks * rows
            last = min(first + rows, all_rows)
            columns = ((last - first) * t.tiles_w + COLUMNS - 1) // COLUMNS * COLUMNS
            for c in range(t.channels):
                transform_inputs(
                    t, x, group * t.channels + c, first, last, work, margins, stage,
                    inputs + c * COLUMNS, t.panel, t.input_step,
                )  # fmt: skip
            for element in range(squares):
                multiply_packed_rows(
                    t.outputs, columns, t.channels,
                    work, (group * squares + element) * t.filter_step,
                    inputs + element * t.input_step, t.panel,
                    products + element * t.output_step, t.output_line,
                )  # fmt: skip
            for o in range(t.outputs):
                plane = group * t.outputs + o
                transform_outputs(
                    t, y, plane, bias[plane], first, last, work, line, stage,
                    products + o * t.output_line,
                )  # fmt: skip
                if slope != 1:
                    _rectify(t, y, plane, first, last, slope)


@inner
def _rectify(t: Tiling, y: F32, plane: int, first: int, last: int, slope: np.float32) -> None:
    """Rectify an output of each image where the tiles of rows [first, last) are."""
    for row in range(first, last):
        top = row % t.tiles_h * t.m
        y0 = (row // t.tiles_h * t.groups * t.outputs + plane) * t.out_height
        bottom = min(top + t.m, t.out_height)
        rectify_line(y[(y0 + top) * t.out_width : (y0 + bottom) * t.out_width], slope)
