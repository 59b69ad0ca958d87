"""Backward to the weights of a convolution with few taps, as scalar products of planes.

    dW[o, k] = sum over images and pixels p of  dy[o, p] * col[k, p]           for each group

Where there are few outputs and taps, as in a first layer with one channel, dy is large beside the
gradient, and to pack it (direct_weights.py) costs as much as the products: 20 of 25 taps have
no use for vectors of outputs. Here vectors go along the lines of dy and of the unfolded image, as
they are in memory; tiles of OUTPUTS by TAPS sums stay in registers while a plane goes by
(dot_products_tile.py). 2 N O P K operations; for each image, dy is read K / TAPS times from the
first-level cache, which holds OUTPUTS planes of it and what all taps see; the sums, LANES partial
ones for each, are read and written once an image.

It needs lines of whole vectors. Threads share the batch, and groups. The gradient is summed for
`_shares` shares of the batch, and then over shares: the order does not depend on the number of
threads.
"""

from functools import lru_cache

import numpy as np
from numba import prange
from numpy.typing import NDArray

from .._compile.jit import inner, kernel
from .._vector.instructions import LANES
from .._vector.lanes import copy_rows, fill_line
from .._vector.reductions import sum_line
from .._vector.scratch import Need, Scratch, divide, room, whole
from .dot_products_tile import OUTPUTS, TAPS, add_dots
from .plan import Plan, Sizes
from .unfolded import Unfolding, filter_at, unfold, unfolding

F32 = NDArray[np.float32]
ZERO = np.float32(0)

FEW = 1 << 15  # sums, in all their LANES: half of a small second-level cache
PLANES = 1 << 12  # floats of OUTPUTS planes of dy, or of what is seen: half of a first-level cache


def fits(sizes: Sizes) -> bool:
    """Whether lines are whole vectors, and all that is read again stays in the caches."""
    return (
        sizes.out_width % LANES == 0
        and _sums(sizes) // sizes.groups <= FEW
        and OUTPUTS * sizes.pixels <= PLANES
        and unfolding(sizes).floats <= PLANES
    )


def _sums(sizes: Sizes) -> int:
    """Floats of the sums of one share: [group][tile of outputs][tile of taps][o][t][LANES]."""
    return sizes.groups * whole(sizes.outputs, OUTPUTS) * whole(sizes.depth, TAPS) * LANES


def _shares(sizes: Sizes) -> int:
    """Into how many shares the batch is cut: whatever the threads, 8."""
    return min(sizes.images, 8)


@lru_cache(maxsize=256)
def _need(sizes: Sizes) -> Need:
    """Floats of scratch: the sums, and planes of dy and an unfolded image a thread."""
    each = OUTPUTS * sizes.pixels + unfolding(sizes).floats + LANES
    return _shares(sizes) * _sums(sizes), each


def scratch_size(plan: Plan) -> int:
    """Floats that `backward_weight` needs on the present number of threads."""
    return room((_need(plan.sizes),))


def backward_weight(plan: Plan, x: F32, dy: F32, dweight: F32, scratch: F32) -> None:
    """Add to dweight."""
    sizes = plan.sizes
    work, shares = divide(scratch, _need(sizes)), _shares(sizes)
    _sum_products(sizes, unfolding(sizes), x.reshape(-1), dy.reshape(-1), work, shares)
    _add_shares(sizes, dweight.reshape(-1), work.floats, shares)


@kernel
def _sum_products(sizes: Sizes, u: Unfolding, x: F32, dy: F32, work: Scratch, shares: int) -> None:
    """The sums of each share; a task is a share and a group."""
    memory = work.floats
    outputs = (sizes.outputs + OUTPUTS - 1) // OUTPUTS
    taps = (sizes.depth + TAPS - 1) // TAPS
    size = outputs * taps * OUTPUTS * TAPS * LANES
    tasks = shares * sizes.groups
    for thread in prange(work.threads):
        packed = work.shared + thread * work.each
        unfolded = packed + OUTPUTS * sizes.pixels
        for task in range(thread * tasks // work.threads, (thread + 1) * tasks // work.threads):
            share, group = task // sizes.groups, task % sizes.groups
            fill_line(size, ZERO, memory, task * size)
            for n in range(share * sizes.images // shares, (share + 1) * sizes.images // shares):
                item = n * sizes.groups + group
                if u.needed:
                    unfold(sizes, u, x, item * sizes.image, memory, unfolded)
                image, image0 = (memory, unfolded) if u.needed else (x, item * sizes.image)
                for o in range(outputs):
                    dy0 = item * sizes.outputs * sizes.pixels
                    _pack_planes(sizes, dy, dy0, o * OUTPUTS, memory, packed)
                    for k in range(taps):
                        to = task * size + (o * taps + k) * OUTPUTS * TAPS * LANES
                        _add_tile(sizes, u, image, image0, k * TAPS, memory, packed, to)


@inner
def _pack_planes(sizes: Sizes, dy: F32, dy0: int, o: int, out: F32, out0: int) -> None:
    """Write OUTPUTS planes from o on as [vector][line][o][LANES]; beyond the last, it again."""
    step = OUTPUTS * LANES
    for i in range(OUTPUTS):
        source = dy0 + min(o + i, sizes.outputs - 1) * sizes.pixels
        for v in range(sizes.out_width // LANES):
            to = out0 + v * sizes.out_height * step + i * LANES
            at = source + v * LANES
            copy_rows(sizes.out_height, 1, dy, at, sizes.out_width, out, to, step)


@inner
def _add_tile(
    sizes: Sizes, u: Unfolding, image: F32, image0: int, k: int, memory: F32, dy: int, sums: int
) -> None:
    """Those of OUTPUTS planes, and of taps from k on; beyond the last, the last again."""
    last = sizes.depth - 1
    add_dots(
        sizes.out_height, sizes.out_width // LANES,
        image, image0 + u.taps[k], image0 + u.taps[min(k + 1, last)],
        image0 + u.taps[min(k + 2, last)], u.line, memory, dy, memory, sums,
    )  # fmt: skip


@kernel
def _add_shares(sizes: Sizes, dweight: F32, work: F32, shares: int) -> None:
    """Add the sums of all shares to dweight."""
    outputs = (sizes.outputs + OUTPUTS - 1) // OUTPUTS
    taps = (sizes.depth + TAPS - 1) // TAPS
    step = sizes.groups * outputs * taps * OUTPUTS * TAPS * LANES
    for output in prange(sizes.groups * sizes.outputs):
        group, o = output // sizes.outputs, output % sizes.outputs
        panel = (group * outputs + o // OUTPUTS) * taps
        k = 0
        for r in range(sizes.kernel_h):
            for c in range(sizes.channels):
                for s in range(sizes.kernel_w):
                    tile = (panel + k // TAPS) * OUTPUTS + o % OUTPUTS
                    source = (tile * TAPS + k % TAPS) * LANES
                    total = ZERO
                    for share in range(shares):
                        total += sum_line(int(LANES), work, source + share * step)
                    dweight[filter_at(sizes, group, o, r, c, s)] += total
                    k += 1
