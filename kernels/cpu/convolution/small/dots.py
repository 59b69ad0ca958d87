"""Backward to the weights of a convolution with few taps, as scalar products of planes.

    dW[o, k] = sum over images and places p of  dy[o, p] * col[k, p]           for each group

Where there are few outputs and taps, as in a first layer with one channel, dy is large beside the
gradient, and to pack it (direct_weights.py) costs as much as the products: 20 of 25 taps have
no use for vectors of outputs. Here vectors go along the lines of dy and of the unfolded image, as
they are in memory; tiles of OUTPUTS by TAPS sums stay in registers while a plane goes by
(small/dot_tile.py). 2 N O P K operations; for each image, dy is read K / TAPS times from the
first-level cache, which holds OUTPUTS planes of it and what all taps see; the sums, LANES partial
ones for each, are read and written once an image.

It needs lines of whole vectors. Threads share the batch, and groups. The gradient is summed for
`_shares` shares of the batch, and then over shares: the order does not depend on the number of
threads.
"""

import numpy as np
from numba import prange
from numpy.typing import NDArray

from ..._compile.jit import inner, kernel
from ..._vector.instructions import LANES
from ..._vector.lanes import copy_rows, fill_line
from ..._vector.reductions import sum_line
from ..._vector.scratch import Need, divide, room, whole
from ..unfolded import Plan, filter_at, unfold
from .dot_tile import OUTPUTS, TAPS, add_dots

F32 = NDArray[np.float32]
ZERO = np.float32(0)

FEW = 1 << 15  # sums, in all their LANES: half of a small second-level cache
PLANES = 1 << 12  # floats of OUTPUTS planes of dy, or of what is seen: half of a first-level cache


def fits(plan: Plan) -> bool:
    """Whether lines are whole vectors, and all that is read again stays in the caches."""
    return (
        plan.out_width % LANES == 0
        and _sums(plan) // plan.groups <= FEW
        and OUTPUTS * plan.places <= PLANES
        and plan.unfolded <= PLANES
    )


def _sums(plan: Plan) -> int:
    """Floats of the sums of one share: [group][tile of outputs][tile of taps][o][t][LANES]."""
    return plan.groups * whole(plan.outputs, OUTPUTS) * whole(plan.depth, TAPS) * LANES


def _shares(plan: Plan) -> int:
    """Into how many shares the batch is cut: whatever the threads, 8."""
    return min(plan.images, 8)


def need(plan: Plan) -> Need:
    """Floats of scratch: the sums, and an unfolded image a thread."""
    return _shares(plan) * _sums(plan), OUTPUTS * plan.places + plan.unfolded + LANES


def scratch_size(plan: Plan) -> int:
    """Floats that `backward_weight` needs on the present number of threads."""
    return room((need(plan),))


def backward_weight(plan: Plan, x: F32, dy: F32, dweight: F32, scratch: F32) -> None:
    """Add to dweight."""
    work, shared, each, threads = divide(scratch, need(plan))
    shares = _shares(plan)
    _sum_products(plan, x.reshape(-1), dy.reshape(-1), work, shared, each, threads, shares)
    _add_shares(plan, dweight.reshape(-1), work, shares)


@kernel
def _sum_products(
    plan: Plan, x: F32, dy: F32, work: F32, shared: int, each: int, threads: int, shares: int
) -> None:
    """The sums of each share; a task is a share and a group."""
    outputs = (plan.outputs + OUTPUTS - 1) // OUTPUTS
    taps = (plan.depth + TAPS - 1) // TAPS
    size = outputs * taps * OUTPUTS * TAPS * LANES
    tasks = shares * plan.groups
    for thread in prange(threads):
        packed = shared + thread * each
        unfolded = packed + OUTPUTS * plan.places
        for task in range(thread * tasks // threads, (thread + 1) * tasks // threads):
            share, group = task // plan.groups, task % plan.groups
            fill_line(size, ZERO, work, task * size)
            for n in range(share * plan.images // shares, (share + 1) * plan.images // shares):
                item = n * plan.groups + group
                if plan.unfolds:
                    unfold(plan, x, item * plan.image, work, unfolded)
                image, image0 = (work, unfolded) if plan.unfolds else (x, item * plan.image)
                for o in range(outputs):
                    _pack_planes(
                        plan, dy, item * plan.outputs * plan.places, o * OUTPUTS, work, packed
                    )
                    for k in range(taps):
                        to = task * size + (o * taps + k) * OUTPUTS * TAPS * LANES
                        _add_tile(plan, image, image0, k * TAPS, work, packed, work, to)


@inner
def _pack_planes(plan: Plan, dy: F32, dy0: int, o: int, out: F32, out0: int) -> None:
    """Write OUTPUTS planes from o on as [vector][line][o][LANES]; beyond the last, it again."""
    step = OUTPUTS * LANES
    for i in range(OUTPUTS):
        source = dy0 + min(o + i, plan.outputs - 1) * plan.places
        for v in range(plan.out_width // LANES):
            to = out0 + v * plan.out_height * step + i * LANES
            at = source + v * LANES
            copy_rows(plan.out_height, 1, dy, at, plan.out_width, out, to, step)


@inner
def _add_tile(
    plan: Plan, image: F32, image0: int, k: int, dy: F32, dy0: int, sums: F32, to: int
) -> None:
    """Those of OUTPUTS planes, and of taps from k on; beyond the last, the last again."""
    last = plan.depth - 1
    add_dots(
        plan.out_height, plan.out_width // LANES,
        image, image0 + plan.taps[k], image0 + plan.taps[min(k + 1, last)],
        image0 + plan.taps[min(k + 2, last)], plan.line, dy, dy0, sums, to,
    )  # fmt: skip


@kernel
def _add_shares(plan: Plan, dweight: F32, work: F32, shares: int) -> None:
    """Add the sums of all shares to dweight."""
    outputs = (plan.outputs + OUTPUTS - 1) // OUTPUTS
    taps = (plan.depth + TAPS - 1) // TAPS
    step = plan.groups * outputs * taps * OUTPUTS * TAPS * LANES
    for output in prange(plan.groups * plan.outputs):
        group, o = output // plan.outputs, output % plan.outputs
        panel = (group * outputs + o // OUTPUTS) * taps
        k = 0
        for r in range(plan.kernel_h):
            for c in range(plan.channels):
                for s in range(plan.kernel_w):
                    tile = (panel + k // TAPS) * OUTPUTS + o % OUTPUTS
                    source = (tile * TAPS + k % TAPS) * LANES
                    total = ZERO
                    for share in range(shares):
                        total += sum_line(int(LANES), work, source + share * step)
                    dweight[filter_at(plan, group, o, r, c, s)] += total
                    k += 1
