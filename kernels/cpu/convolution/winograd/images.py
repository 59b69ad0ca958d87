"""Winograd's convolution of many small planes, with images in the lanes of vectors.

The filterings of winograd/transforms.py, y = A^T [(G g G^T) * (B^T d B)] A, forward and backward to
the images. winograd/lines.py has neighbouring tiles of a line in the lanes of its transforms, and
where a line has four tiles half of what it computes is in vain. Here a lane is an image: COLUMNS
images are laid out as [line][column][channel][image], with their margins, and no lane is empty.

A tile of COLUMNS images is made at a time: its inputs are transformed, n^2 C vectors; for each of
the n^2 elements there is a product (O, C) x (C, COLUMNS), with filters that come from the
second-level cache; and the n^2 O results are transformed to m^2 O outputs. These numbers, 4 n^2
COLUMNS (C + O) bytes, stay in the second-level cache too. A row of tiles gives m lines of outputs,
which are then turned back.

Threads share blocks of images, groups, and rows of tiles. The order of
every sum is the same for every number of threads.
"""

import numpy as np
from numba import prange
from numpy.typing import NDArray

from ..._compile.jit import inner, kernel, shared
from ..._vector.instructions import LANES, ROWS
from ..._vector.lanes import fill_line, transpose_lanes
from ...gemm.micro_kernel import COLUMNS
from .. import choice as choosing
from ..small.images import parts_of, turn_back
from ..unfolded import Plan
from .choice import DATA, FORWARD
from .lines import transform_filters
from .products import multiply_packed_rows, rows_with_room
from .tiles import Tiling, odd_lines, tiling, transposed, working_memory
from .transform_tile import transform_tile
from .transforms import INPUT, OUTPUT

F32 = NDArray[np.float32]
ZERO = np.float32(0)


def scratch_size(plan: Plan) -> int:
    """No scratch of the layer's own: see `working_memory`."""
    return 0


def forward(
    plan: Plan, x: F32, weight: F32, bias: F32, y: F32, scratch: F32, slope: float = 1
) -> None:
    """y = W * x + bias; what is negative times the slope."""
    t = tiling(choosing.decide(plan, FORWARD)[1], plan)
    taps = t.r * t.r
    _convolve(t, x, weight, (t.channels * taps, taps), False, bias, y, slope)


def backward_data(plan: Plan, dy: F32, weight: F32, dx: F32, scratch: F32) -> None:
    """Overwrite dx."""
    t = transposed(choosing.decide(plan, DATA)[1], plan)
    taps = t.r * t.r
    bias = np.zeros(dx.shape[1], np.float32)
    _convolve(t, dy, weight, (taps, plan.channels * taps), True, bias, dx, 1)


def _convolve(
    t: Tiling, x: F32, weight: F32, steps: tuple[int, int], mirrored: bool, bias: F32, y: F32,
    slope: float,
) -> None:  # fmt: skip
    squares = t.n * t.n
    high, wide = t.tiles_h * t.m + t.r - 1, t.tiles_w * t.m + t.r - 1
    image = high * wide * t.channels * COLUMNS
    line = t.m * t.tiles_w * t.m * t.outputs * COLUMNS
    input_step = odd_lines(t.channels * COLUMNS)
    output_step = odd_lines(rows_with_room(t.outputs) * COLUMNS)
    each = image + line + squares * (input_step + output_step) + t.r * t.r * ROWS + 2 * LANES
    work, shared, each, threads = working_memory(t.groups * squares * t.filter_step, each)
    transform_filters(t, weight.reshape(-1), work, *steps, mirrored, shared, each, threads)
    blocks = -(-t.images // COLUMNS) * t.groups
    parts = parts_of(t.tiles_h, blocks, threads)
    _run(
        t, x.reshape(-1), bias, y.reshape(-1), np.float32(slope), work, shared, each, threads,
        parts, image, line, input_step, output_step,
    )  # fmt: skip


@kernel
def _run(
    t: Tiling, x: F32, bias: F32, y: F32, slope: np.float32, work: F32, shared: int, each: int,
    threads: int, parts: int, image: int, line: int, input_step: int, output_step: int,
) -> None:  # fmt: skip
    """A task is a block of images, a group, and a part of the rows of tiles."""
    tasks = (t.images + COLUMNS - 1) // COLUMNS * t.groups * parts
    line_step = t.tiles_w * t.m * t.outputs * COLUMNS
    for thread in prange(threads):
        images = shared + thread * each
        lines = images + image
        inputs = lines + line
        products = inputs + t.n * t.n * input_step
        present = -1
        for task in range(thread * tasks // threads, (thread + 1) * tasks // threads):
            item, part = task // parts, task % parts
            group, n = item % t.groups, item // t.groups * COLUMNS
            count = min(COLUMNS, t.images - n)
            if item != present:
                present = item
                _lay_out(t, x, n * t.groups + group, count, work, images)
            y0 = (n * t.groups + group) * t.outputs * t.out_height * t.out_width
            for row in range(part * t.tiles_h // parts, (part + 1) * t.tiles_h // parts):
                for tile in range(t.tiles_w):
                    _make_tile(
                        t, row, tile, group, bias, work, images, inputs, input_step,
                        products, output_step, lines + tile * t.m * t.outputs * COLUMNS, line_step,
                    )  # fmt: skip
                for i in range(row * t.m, min((row + 1) * t.m, t.out_height)):
                    turn_back(
                        t.out_width, t.outputs, count, work, lines + (i - row * t.m) * line_step,
                        y, y0 + i * t.out_width, t.out_height * t.out_width,
                        t.groups * t.outputs * t.out_height * t.out_width, slope,
                    )  # fmt: skip


@inner
def _make_tile(
    t: Tiling, row: int, tile: int, group: int, bias: F32, work: F32, images: int, inputs: int,
    input_step: int, products: int, output_step: int, to: int, line_step: int,
) -> None:  # fmt: skip
    """The outputs [line][column][output][image] of a tile."""
    column = t.channels * COLUMNS
    line = (t.tiles_w * t.m + t.r - 1) * column
    seen = images + row * t.m * line + tile * t.m * column
    for at in range(0, column, LANES):
        transform_tile(
            INPUT, t.which, work, seen + at, line, column, ZERO,
            work, inputs + at, t.n * input_step, input_step,
        )  # fmt: skip
    for element in range(t.n * t.n):
        multiply_packed_rows(
            t.outputs, int(COLUMNS), t.channels, work,
            (group * t.n * t.n + element) * t.filter_step, inputs + element * input_step, 0,
            products + element * output_step, int(COLUMNS),
        )  # fmt: skip
    for at in range(0, t.outputs * COLUMNS, LANES):
        transform_tile(
            OUTPUT, t.which, work, products + at, t.n * output_step, output_step,
            bias[group * t.outputs + at // COLUMNS], work, to + at, line_step,
            t.outputs * COLUMNS,
        )  # fmt: skip


@shared
def _lay_out(t: Tiling, x: F32, item: int, count: int, out: F32, out0: int) -> None:
    """Write `count` images of a group as [line][column][channel][image], with their margins.

    What stands in the place of images that are not there means nothing.
    """
    places, step = t.height * t.width, t.groups * t.channels * t.height * t.width
    column = t.channels * COLUMNS
    wide = t.tiles_w * t.m + t.r - 1
    first, skip = max(t.pad_w, 0), max(-t.pad_w, 0)
    inside = max(min(t.width - skip, wide - first), 0)
    for line in range(t.tiles_h * t.m + t.r - 1):
        h, to = line - t.pad_h, out0 + line * wide * column
        if not 0 <= h < t.height or inside == 0:
            fill_line(wide * column, ZERO, out, to)
            continue
        fill_line(first * column, ZERO, out, to)
        fill_line((wide - first - inside) * column, ZERO, out, to + (first + inside) * column)
        for c in range(t.channels):
            source = item * t.channels * places + c * places + h * t.width + skip
            for lane in range(0, COLUMNS, LANES):
                image = min(lane, count - 1)
                from_, target = source + image * step, to + first * column + c * COLUMNS + lane
                _turn_line(min(LANES, count - image), inside, x, from_, step, out, target, column)


@inner
def _turn_line(
    count: int, width: int, x: F32, x0: int, step: int, out: F32, out0: int, out_step: int
) -> None:
    """Write a line of `count` images, `step` apart, as [column][image]."""
    if width >= LANES:
        for column in range(0, width, LANES):
            j = min(column, width - LANES)
            transpose_lanes(count, x, x0 + j, step, out, out0 + j * out_step, out_step)
    else:
        for j in range(width):
            for i in range(LANES):
                out[out0 + j * out_step + i] = x[x0 + min(i, count - 1) * step + j]
