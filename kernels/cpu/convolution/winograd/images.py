"""Winograd's convolution of many small planes, with images in the lanes of vectors.

The filterings of winograd/transforms.py, y = A^T [(G g G^T) * (B^T d B)] A, forward and backward to
the images. winograd/lines.py has neighbouring tiles of a line in the lanes of its transforms, and
where a line has four tiles half of what it computes is in vain. Here a lane is an image: COLUMNS
images are laid out as [line][column][channel][image], with their padding, and no lane is empty.

A tile of COLUMNS images is made at a time: its inputs are transformed, n^2 C vectors; for each of
the n^2 elements there is a product (O, C) x (C, COLUMNS), with filters that come from the
second-level cache; and the n^2 O results are transformed to m^2 O outputs. These numbers, 4 n^2
COLUMNS (C + O) bytes, stay in the second-level cache too. A row of tiles gives m lines of outputs,
which are then turned back.

Threads share blocks of images, groups, and rows of tiles. The order of every sum is the same for
every number of threads.
"""

from typing import NamedTuple

import numpy as np
from numba import prange
from numpy.typing import NDArray

from ..._compile.jit import inner, kernel, shared
from ..._vector.instructions import LANES, ROWS
from ..._vector.lanes import fill_line, transpose_lanes
from ..._vector.scratch import Scratch
from ...gemm.micro_kernel import COLUMNS
from ..images_in_lanes import parts_of, turn_back
from ..plan import DATA, FORWARD, Plan, transposed
from .lines import Filters, transformed_filters
from .products import multiply_packed_rows, rows_with_room
from .tiles import Tiling, odd_lines, tiling
from .transforms import INPUT, OUTPUT, transform_tile

F32 = NDArray[np.float32]
ZERO = np.float32(0)


class Room(NamedTuple):
    """Floats of what a thread works with."""

    images: int  # COLUMNS images with their padding
    lines: int  # lines of outputs that a row of tiles gives
    line: int  # one of them
    input_step: int  # from one element of a tile's transformed inputs to the next
    output_step: int  # and of its products


def scratch_size(plan: Plan) -> int:
    """No scratch of the layer's own, but what it keeps: see `working_memory`."""
    return 0


def forward(
    plan: Plan, x: F32, weight: F32, bias: F32, y: F32, scratch: F32, kept: bool | None = None
) -> None:
    """y = W * x + bias."""
    t = tiling(plan.ways[FORWARD].filtering, plan.sizes)
    filters = Filters(t.channels * t.r * t.r, t.r * t.r, False)
    _convolve(t, filters, x, weight, bias, y, scratch, kept)


def backward_data(
    plan: Plan, dy: F32, weight: F32, dx: F32, scratch: F32, kept: bool | None = None
) -> None:
    """Overwrite dx."""
    t = tiling(plan.ways[DATA].filtering, transposed(plan.sizes))
    filters = Filters(t.r * t.r, t.outputs * t.r * t.r, True)
    bias = np.zeros(dx.shape[1], np.float32)
    _convolve(t, filters, dy, weight, bias, dx, scratch, kept)


def _convolve(
    t: Tiling, filters: Filters, x: F32, weight: F32, bias: F32, y: F32, scratch: F32,
    kept: bool | None,
) -> None:  # fmt: skip
    squares = t.n * t.n
    high, wide = t.tiles_h * t.m + t.r - 1, t.tiles_w * t.m + t.r - 1
    line = t.tiles_w * t.m * t.outputs * COLUMNS
    room = Room(
        high * wide * t.channels * COLUMNS, t.m * line, line,
        odd_lines(t.channels * COLUMNS), odd_lines(rows_with_room(t.outputs) * COLUMNS),
    )  # fmt: skip
    tile = squares * (room.input_step + room.output_step)
    each = room.images + room.lines + tile + t.r * t.r * ROWS + 2 * LANES
    work, made = transformed_filters(t, filters, weight, each, scratch, kept)
    parts = parts_of(t.tiles_h, -(-t.images // COLUMNS) * t.groups, work.threads)
    _run(t, room, x.reshape(-1), made, bias, y.reshape(-1), work, parts)


@kernel
def _run(
    t: Tiling, room: Room, x: F32, filters: F32, bias: F32, y: F32, work: Scratch, parts: int
) -> None:
    """A task is a block of images, a group, and a part of the rows of tiles."""
    memory = work.floats
    tasks = (t.images + COLUMNS - 1) // COLUMNS * t.groups * parts
    plane = t.out_height * t.out_width
    for thread in prange(work.threads):
        images = work.shared + thread * work.each
        lines = images + room.images
        tile_memory = lines + room.lines
        present = -1
        for task in range(thread * tasks // work.threads, (thread + 1) * tasks // work.threads):
            item, part = task // parts, task % parts
            group, n = item % t.groups, item // t.groups * COLUMNS
            count = min(COLUMNS, t.images - n)
            if item != present:
                present = item
                _lay_out(t, x, n * t.groups + group, count, memory, images)
            y0 = (n * t.groups + group) * t.outputs * plane
            for row in range(part * t.tiles_h // parts, (part + 1) * t.tiles_h // parts):
                for tile in range(t.tiles_w):
                    _make_tile(
                        t, room, row, tile, group, filters, bias, memory, images, tile_memory, lines
                    )
                for i in range(row * t.m, min((row + 1) * t.m, t.out_height)):
                    turn_back(
                        t.out_width, t.outputs, count, memory, lines + (i - row * t.m) * room.line,
                        y, y0 + i * t.out_width, plane, t.groups * t.outputs * plane,
                    )  # fmt: skip


@inner
def _make_tile(
    t: Tiling, room: Room, row: int, tile: int, group: int, filters: F32, bias: F32, memory: F32,
    images: int, inputs: int, lines: int,
) -> None:  # fmt: skip
    """The outputs [line][column][output][image] of a tile, in `lines`."""
    products = inputs + t.n * t.n * room.input_step
    column = t.channels * COLUMNS
    line = (t.tiles_w * t.m + t.r - 1) * column
    seen = images + row * t.m * line + tile * t.m * column
    to = lines + tile * t.m * t.outputs * COLUMNS
    for at in range(0, column, LANES):
        transform_tile(
            INPUT, t.which, memory, seen + at, line, column, ZERO,
            memory, inputs + at, t.n * room.input_step, room.input_step,
        )  # fmt: skip
    for element in range(t.n * t.n):
        multiply_packed_rows(
            t.outputs, int(COLUMNS), t.channels, filters,
            (group * t.n * t.n + element) * t.filter_step,
            memory, inputs + element * room.input_step, 0,
            products + element * room.output_step, int(COLUMNS),
        )  # fmt: skip
    for at in range(0, t.outputs * COLUMNS, LANES):
        transform_tile(
            OUTPUT, t.which, memory, products + at, t.n * room.output_step, room.output_step,
            bias[group * t.outputs + at // COLUMNS], memory, to + at, room.line,
            t.outputs * COLUMNS,
        )  # fmt: skip


@shared
def _lay_out(t: Tiling, x: F32, item: int, count: int, out: F32, out0: int) -> None:
    """Write `count` images of a group as [line][column][channel][image], with their padding.

    What stands where images would be that are not there means nothing.
    """
    pixels, step = t.height * t.width, t.groups * t.channels * t.height * t.width
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
            source = item * t.channels * pixels + c * pixels + h * t.width + skip
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
