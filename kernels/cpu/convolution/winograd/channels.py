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

from typing import NamedTuple

import numpy as np
from numba import prange
from numpy.typing import NDArray

from ..._compile.jit import inner, jitable, kernel, shared
from ..._vector.instructions import LANES
from ..._vector.lanes import copy_line, fill_line, transpose_lanes
from ..._vector.scratch import Scratch, whole
from ...gemm.micro_kernel import COLUMNS
from ..plan import WEIGHT, Plan
from .lines_gradient import add_shares, sums_of_a_share
from .products import add_products_of_rows, rows_with_room
from .tiles import Tiling, odd_lines, tiling, working_memory
from .transforms import GRADIENT, INPUT, transform_tile

F32 = NDArray[np.float32]
ZERO = np.float32(0)

ROOM = 1 << 17  # floats of V and a panel of gradients: a second-level cache


def scratch_size(plan: Plan) -> int:
    """No scratch of the layer's own: see `working_memory`."""
    return 0


class Room(NamedTuple):
    """What a thread works on at a time: how many images, and floats of what it makes of them."""

    images: int
    image: int  # the images with their padding, channels last
    gradient: int  # the same of their gradients
    lanes: int  # channels, in whole vectors
    input_step: int  # from one element of the transformed tiles to the next
    gradient_step: int  # and of those of a panel of gradients


class Image(NamedTuple):
    """An image of whole tiles, [line][column][channel]."""

    channels: int
    high: int
    wide: int


@jitable
def _floats(image: Image) -> int:
    return image.channels * image.high * image.wide


def _room(t: Tiling) -> Room:
    tiles, lanes = t.tiles_h * t.tiles_w, whole(t.channels, LANES)
    images = max(1, min(t.images, ROOM // (t.n * t.n * tiles * (lanes + COLUMNS))))
    high, wide = t.tiles_h * t.m, t.tiles_w * t.m
    seen = (high + t.r - 1) * (wide + t.r - 1)
    return Room(
        images,
        images * seen * t.channels + LANES * (t.channels + 1),
        images * high * wide * t.outputs + LANES * (t.outputs + 1),
        lanes,
        odd_lines(images * tiles * lanes + rows_with_room(t.channels)),
        odd_lines(images * tiles * COLUMNS),
    )


def backward_weight(plan: Plan, x: F32, dy: F32, dweight: F32, scratch: F32) -> None:
    """Add to dweight."""
    t = tiling(plan.ways[WEIGHT].filtering, plan.sizes)
    room, squares = _room(t), t.n * t.n
    each = room.image + room.gradient + squares * (room.input_step + room.gradient_step)
    each = max(each, squares * LANES + t.r * t.r * LANES)
    shares = max(1, min(t.images, 8, (1 << 20) // sums_of_a_share(t)))
    work = working_memory(shares * sums_of_a_share(t), each)
    _sum_products(t, room, x.reshape(-1), dy.reshape(-1), work, shares)
    add_shares(t, dweight.reshape(-1), work, shares)


@kernel
def _sum_products(t: Tiling, room: Room, x: F32, dy: F32, work: Scratch, shares: int) -> None:
    """For each share, [group][panel of outputs][element][channel][COLUMNS]: the sums.

    A task is a share and a group.
    """
    memory = work.floats
    panels = (t.outputs + COLUMNS - 1) // COLUMNS
    squares, depth = t.n * t.n, t.sum_rows * COLUMNS
    tasks = shares * t.groups
    of_x = Image(t.channels, t.tiles_h * t.m + t.r - 1, t.tiles_w * t.m + t.r - 1)
    of_dy = Image(t.outputs, t.tiles_h * t.m, t.tiles_w * t.m)
    for thread in prange(work.threads):
        seen = work.shared + thread * work.each
        given = seen + room.image
        inputs = given + room.gradient
        gradients = inputs + squares * room.input_step
        for task in range(thread * tasks // work.threads, (thread + 1) * tasks // work.threads):
            share, group = task // t.groups, task % t.groups
            sums = task * panels * squares * depth
            begin, last = share * t.images // shares, (share + 1) * t.images // shares
            if begin == last:  # there are no images
                fill_line(panels * squares * depth, ZERO, memory, sums)
            for n in range(begin, last, room.images):
                count = min(room.images, last - n)
                for i in range(count):
                    item = (n + i) * t.groups + group
                    _lay_out(
                        x, item * t.channels * t.height * t.width, t.height, t.width,
                        t.pad_h, t.pad_w, of_x, memory, seen + i * _floats(of_x),
                    )  # fmt: skip
                    _lay_out(
                        dy, item * t.outputs * t.out_height * t.out_width,
                        t.out_height, t.out_width, 0, 0, of_dy, memory, given + i * _floats(of_dy),
                    )  # fmt: skip
                _transform(
                    INPUT, t, count, of_x, 0, t.channels, memory, seen,
                    inputs, room.input_step, room.lanes,
                )  # fmt: skip
                tiles = count * t.tiles_h * t.tiles_w
                for panel in range(panels):
                    first = panel * COLUMNS
                    _transform(
                        GRADIENT, t, count, of_dy, first, min(first + COLUMNS, t.outputs), memory,
                        given, gradients, room.gradient_step, int(COLUMNS),
                    )  # fmt: skip
                    for element in range(squares):
                        add_products_of_rows(
                            t.channels, tiles, memory, inputs + element * room.input_step,
                            room.lanes, gradients + element * room.gradient_step,
                            sums + (panel * squares + element) * depth, n > begin,
                        )  # fmt: skip


@inner
def _transform(
    kind: int, t: Tiling, images: int, image: Image, first: int, last: int, memory: F32,
    source: int, to: int, step: int, tile_step: int,
) -> None:  # fmt: skip
    """Transform channels [first, last); number k of tile p goes to k * step + p * tile_step.

    Eleven arguments: what is read and what is written are apart only in where they are.
    """
    line = image.wide * image.channels
    at = to
    for n in range(images):
        for i in range(t.tiles_h):
            for j in range(t.tiles_w):
                seen = source + (n * image.high + i * t.m) * line + j * t.m * image.channels
                for c in range(first, last, LANES):
                    transform_tile(
                        kind, t.which, memory, seen + c, line, image.channels, ZERO,
                        memory, at + c - first, t.n * step, step,
                    )  # fmt: skip
                at += tile_step


@shared
def _lay_out(
    x: F32, x0: int, height: int, width: int, pad_h: int, pad_w: int, image: Image, out: F32,
    out0: int,
) -> None:  # fmt: skip
    """Write an image of `height` lines of `width` columns with its padding, channels last.

    In whole vectors: what one has beyond its end is overwritten, because lines are written in
    their order, and in each the last channels first, which may reach beyond a column.
    """
    channels, wide = image.channels, image.wide
    first, skip = max(pad_w, 0), max(-pad_w, 0)
    inside = max(min(width - skip, wide - first), 0)
    for line in range(image.high):
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
