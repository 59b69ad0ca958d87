"""Backward to the weights of a convolution of planes, without writing its columns out.

    dW.T (K, O) = col (K, P) @ dy.T (P, O)       for each group, summed over images

The sum goes over places. dy is packed for PLACES of them at a time, in panels of COLUMNS outputs;
the micro-kernel takes ROWS taps, and broadcasts what they see straight from the unfolded image
(unfolded.py), line by line: `col` is never written, and 2 N O P K operations, less those of taps
that see nothing but margins, come with O P / COLUMNS reads of the image and one of dy, packed.
Filters of 1 x 1 are a product of matrices, summed over images (gemm.py); with a stride, the places
that they see are put together first.

Threads share the batch, groups and panels of outputs. The gradient is summed for `_shares` shares
of the batch, and then over shares: the order does not depend on the number of threads.
"""

import numpy as np
from numba import prange
from numpy.typing import NDArray

from .._compile.jit import inlined, kernel
from .._vector.instructions import ROWS
from .._vector.lanes import copy_line, fill_line
from .._vector.scratch import CACHE_LINE, Need, divide, whole
from ..gemm import add_products
from ..gemm.matrix import Vectors
from ..gemm.micro_kernel import COLUMNS, multiply_taps
from ..gemm.packing import pack
from .unfolded import Plan, filter_at, lines_that_see, unfold

F32 = NDArray[np.float32]

PLACES = 256  # at a time
GATHERED = 1 << 18  # floats of images that are put together at a time, for filters of 1 x 1


def need(plan: Plan) -> Need:
    """Floats of scratch: the sums, and packed gradients and an unfolded image a thread.

    For filters of 1 x 1: images of which only the places that filters see have been kept.
    """
    if _is_product(plan):
        return _together(
            plan
        ) * plan.groups * plan.channels * plan.places * plan.unfolds, CACHE_LINE
    outputs = whole(plan.outputs, COLUMNS)
    return _shares(plan) * _sums(plan), outputs * _chunk(plan) * plan.out_width + plan.unfolded


def _sums(plan: Plan) -> int:
    """Floats of the sums of one share: [group][panel of outputs][tap][COLUMNS]."""
    return plan.groups * whole(plan.outputs, COLUMNS) * plan.taps.size


def _shares(plan: Plan) -> int:
    """Into how many shares the batch is cut: whatever the threads, 8, or 4 MB of sums."""
    return max(1, min(plan.images, 8, (1 << 20) // _sums(plan)))


def _chunk(plan: Plan) -> int:
    """Lines of the output that backward to the weights works on at a time."""
    return min(plan.out_height, max(1, PLACES // plan.out_width))


def backward_weight(plan: Plan, x: F32, dy: F32, dweight: F32, scratch: F32) -> None:
    """Add to dweight."""
    if _is_product(plan):
        _add_product(plan, x, dy, dweight, scratch)
        return
    work, shared, each, threads = divide(scratch, need(plan))
    shares, chunk = _shares(plan), _chunk(plan)
    parts = min(-(-plan.outputs // COLUMNS), -(-threads // (shares * plan.groups)))
    _sum_products(
        plan, x.reshape(-1), dy.reshape(-1), work, shared, each, threads, shares, parts, chunk
    )
    _add_shares(plan, dweight.reshape(-1), work, shares)


def _is_product(plan: Plan) -> bool:
    """Whether it is a product of matrices as they are, or as they are put together."""
    return (plan.kernel_h, plan.kernel_w, plan.pad_h, plan.pad_w) == (1, 1, 0, 0)


def _together(plan: Plan) -> int:
    """How many images are put together at a time; where there is no stride, all as they are."""
    image = plan.groups * plan.channels * plan.places
    return min(plan.images, max(GATHERED // image, 1)) if plan.unfolds else plan.images


def _add_product(plan: Plan, x: F32, dy: F32, dweight: F32, scratch: F32) -> None:
    """Add to dweight, for filters of 1 x 1."""
    gathered, _, _, _ = divide(scratch, need(plan))
    channels, step = plan.groups * plan.channels, _together(plan)
    for first in range(0, plan.images, step):
        count = min(step, plan.images - first)
        seen, gradients = x[first : first + count], dy[first : first + count]
        if plan.unfolds:
            _gather(plan, count * channels, seen.reshape(-1), gathered)
            seen = gathered[: count * channels * plan.places]
        maps = (count, plan.groups, -1, plan.places)
        for group in range(plan.groups):
            add_products(gradients.reshape(maps), seen.reshape(maps), dweight, group)


@kernel
def _gather(plan: Plan, maps: int, x: F32, out: F32) -> None:
    """Put together the places that filters see of so many channels' maps."""
    for index in prange(maps):
        to, source = index * plan.places, index * plan.height * plan.width
        for _ in range(plan.out_height):
            copy_line(plan.out_width, x, source, plan.stride_w, out, to)
            source += plan.stride_h * plan.width
            to += plan.out_width


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
                    rows = Vectors(dy, dy0, plan.places, 1)
                    pack(rows, outputs, deep, int(COLUMNS), work, packed, deep)
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
