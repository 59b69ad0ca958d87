"""The gradient of the filters by Winograd's minimal filtering, with channels in the lanes.

What winograd/lines_gradient.py computes, for small planes: for each of the n x n elements

    S (C, O) = sum over tiles of V (C, T) @ (A dy A^T) (T, O)           dW += G^T S G

There, neighbouring tiles of a line are in the lanes of the transforms; where a line has four tiles
half of what they compute is in vain, and A dy A^T is transposed afterwards. Here images and
gradients are laid out with channels last, [line][column][channel]. A lane is a channel, and the
transforms write [tile][channel], as the products read it: nothing is packed.

A few whole images are worked on at a time. Their V, n^2 T C numbers, and n^2 T COLUMNS numbers of
the gradients, a panel of outputs after the other, stay in the second-level cache. n^2 T C O
multiplications, with O rounded up to COLUMNS.

Threads share the batch, and groups. The sums are taken for `_shares` shares of the batch, and then
over shares, in the same order for every number of threads.
"""

import numpy as np
from numba import prange
from numpy.typing import NDArray

from ..._compile.jit import inner, kernel, shared
from ..._vector.instructions import LANES
from ..._vector.lanes import copy_line, fill_line, transpose_lanes
from ..._vector.scratch import whole
from ...gemm.micro_kernel import COLUMNS
from .. import choice as choosing
from ..unfolded import Plan
from .choice import WEIGHT
from .lines_gradient import add_shares, sums_of_a_share
from .products import add_products_of_rows, rows_with_room
from .tiles import Tiling, odd_lines, tiling, working_memory
from .transform_tile import transform_tile
from .transforms import GRADIENT, INPUT

F32 = NDArray[np.float32]
ZERO = np.float32(0)

ROOM = 1 << 17  # floats of V and a panel of gradients: a second-level cache


def scratch_size(plan: Plan) -> int:
    """No scratch of the layer's own: see `working_memory`."""
    return 0


def _image(t: Tiling) -> int:
    """Floats of V and of a panel of gradients of an image."""
    return t.n * t.n * t.tiles_h * t.tiles_w * (whole(t.channels, LANES) + COLUMNS)


def backward_weight(plan: Plan, x: F32, dy: F32, dweight: F32, scratch: F32) -> None:
    """Add to dweight."""
    t = tiling(choosing.decide(plan, WEIGHT)[1], plan)
    images = max(1, min(t.images, ROOM // _image(t)))
    tiles = images * t.tiles_h * t.tiles_w
    squares = t.n * t.n
    channels = whole(t.channels, LANES)
    high, wide = t.tiles_h * t.m, t.tiles_w * t.m
    image = images * (high + t.r - 1) * (wide + t.r - 1) * t.channels + LANES * (t.channels + 1)
    gradient = images * high * wide * t.outputs + LANES * (t.outputs + 1)
    input_step = odd_lines(tiles * channels + rows_with_room(t.channels))
    gradient_step = odd_lines(tiles * COLUMNS)
    each = image + gradient + squares * (input_step + gradient_step)
    each = max(each, squares * LANES + t.r * t.r * LANES)
    shares = max(1, min(t.images, 8, (1 << 20) // sums_of_a_share(t)))
    work, shared, each, threads = working_memory(shares * sums_of_a_share(t), each)
    _sum_products(
        t, x.reshape(-1), dy.reshape(-1), work, shared, each, threads, shares, images, image,
        gradient, input_step, gradient_step,
    )  # fmt: skip
    add_shares(t, dweight.reshape(-1), work, shared, each, threads, shares)


@kernel
def _sum_products(
    t: Tiling, x: F32, dy: F32, work: F32, shared: int, each: int, threads: int, shares: int,
    images: int, image: int, gradient: int, input_step: int, gradient_step: int,
) -> None:  # fmt: skip
    """For each share, [group][panel of outputs][element][channel][COLUMNS]: the sums.

    A task is a share and a group.
    """
    panels = (t.outputs + COLUMNS - 1) // COLUMNS
    squares, depth = t.n * t.n, t.sum_rows * COLUMNS
    tasks = shares * t.groups
    high, wide = t.tiles_h * t.m, t.tiles_w * t.m
    margin = t.r - 1
    for thread in prange(threads):
        seen = shared + thread * each
        given = seen + image
        inputs = given + gradient
        gradients = inputs + squares * input_step
        for task in range(thread * tasks // threads, (thread + 1) * tasks // threads):
            share, group = task // t.groups, task % t.groups
            sums = task * panels * squares * depth
            fill_line(panels * squares * depth, ZERO, work, sums)
            last = (share + 1) * t.images // shares
            for n in range(share * t.images // shares, last, images):
                count = min(images, last - n)
                for i in range(count):
                    item = (n + i) * t.groups + group
                    _lay_out(
                        x, item * t.channels * t.height * t.width, t.channels, t.height, t.width,
                        t.pad_h, t.pad_w, high + margin, wide + margin, work,
                        seen + i * (high + margin) * (wide + margin) * t.channels,
                    )  # fmt: skip
                    _lay_out(
                        dy, item * t.outputs * t.out_height * t.out_width, t.outputs,
                        t.out_height, t.out_width, 0, 0, high, wide, work,
                        given + i * high * wide * t.outputs,
                    )  # fmt: skip
                _transform(
                    INPUT, t, count, t.channels, 0, t.channels, high + margin, wide + margin, work,
                    seen, inputs, input_step, (t.channels + LANES - 1) // LANES * LANES,
                )  # fmt: skip
                tiles = count * t.tiles_h * t.tiles_w
                for panel in range(panels):
                    first = panel * COLUMNS
                    _transform(
                        GRADIENT, t, count, t.outputs, first, min(first + COLUMNS, t.outputs),
                        high, wide, work, given, gradients, gradient_step, int(COLUMNS),
                    )  # fmt: skip
                    for element in range(squares):
                        add_products_of_rows(
                            t.channels, tiles, work, inputs + element * input_step,
                            (t.channels + LANES - 1) // LANES * LANES,
                            gradients + element * gradient_step,
                            sums + (panel * squares + element) * depth,
                        )  # fmt: skip


@inner
def _transform(
    kind: int, t: Tiling, images: int, channels: int, first: int, last: int, high: int, wide: int,
    work: F32, source: int, to: int, step: int, tile_step: int,
) -> None:  # fmt: skip
    """Transform channels [first, last); number k of tile p goes to k * step + p * tile_step."""
    line = wide * channels
    at = to
    for image in range(images):
        for i in range(t.tiles_h):
            for j in range(t.tiles_w):
                seen = source + (image * high + i * t.m) * line + j * t.m * channels
                for c in range(first, last, LANES):
                    transform_tile(
                        kind, t.which, work, seen + c, line, channels, ZERO,
                        work, at + c - first, t.n * step, step,
                    )  # fmt: skip
                at += tile_step


@shared
def _lay_out(
    x: F32, x0: int, channels: int, height: int, width: int, pad_h: int, pad_w: int, high: int,
    wide: int, out: F32, out0: int,
) -> None:  # fmt: skip
    """Write an image with margins, `high` lines of `wide` columns, channels last.

    In whole vectors: what one has beyond its place is overwritten, because lines are written in
    their order, and in each the last channels first, which may reach beyond a column.
    """
    first, skip = max(pad_w, 0), max(-pad_w, 0)
    inside = max(min(width - skip, wide - first), 0)
    for line in range(high):
        h, to = line - pad_h, out0 + line * wide * channels
        if not 0 <= h < height or inside == 0:
            fill_line(wide * channels, ZERO, out, to)
            continue
        fill_line(first * channels, ZERO, out, to)
        to += first * channels
        source = x0 + h * width + skip
        if channels == 1:
            copy_line(inside, x, source, 1, out, to)
        else:
            _turn_line(x, source, inside, height * width, channels, out, to)
        rest = (wide - first - inside) * channels
        fill_line(rest, ZERO, out, to + inside * channels)


@shared
def _turn_line(x: F32, x0: int, width: int, plane: int, channels: int, out: F32, out0: int) -> None:
    """Write a line of all channels, `plane` floats apart, as [column][channel]."""
    for column in range(0, width, LANES):
        for c in range((channels - 1) // LANES * LANES, -1, -LANES):
            source, to = x0 + c * plane + column, out0 + column * channels + c
            count = min(LANES, channels - c)
            if source + (count - 1) * plane + LANES <= x.size:
                transpose_lanes(count, x, source, plane, out, to, channels)
            else:
                for w in range(min(LANES, width - column)):
                    for i in range(count):
                        out[to + w * channels + i] = x[source + i * plane + w]
