"""Backward to the weights of a convolution of planes, without writing its columns out.

    dW.T (K, O) = col (K, P) @ dy.T (P, O)       for each group, summed over images

The sum goes over pixels. dy is packed for PIXELS of them at a time, in panels of COLUMNS outputs;
the micro-kernel takes ROWS taps, and broadcasts what they see straight from the unfolded image
(unfolded.py), line by line: `col` is never written, and 2 N O P K operations, less those of taps
that see nothing but padding, come with O P / COLUMNS reads of the image and one of dy, packed.
Filters of 1 x 1 are a product of matrices, summed over images (gemm.py); with a stride, the pixels
that they see are put together first.

Threads share the batch, groups and panels of outputs. The gradient is summed for `_shares` shares
of the batch, and then over shares: the order does not depend on the number of threads.
"""

from functools import lru_cache
from typing import NamedTuple

import numpy as np
from numba import prange
from numpy.typing import NDArray

from .._compile.jit import inlined, kernel
from .._vector.instructions import ROWS
from .._vector.lanes import copy_line, fill_line
from .._vector.scratch import CACHE_LINE, Need, Scratch, divide, whole
from ..gemm import add_products
from ..gemm.matrix import Vectors
from ..gemm.micro_kernel import COLUMNS, multiply_taps
from ..gemm.packing import pack
from .plan import Sizes
from .unfolded import Unfolding, filter_at, lines_that_see, unfold, unfolding

F32 = NDArray[np.float32]

PIXELS = 256  # at a time
GATHERED = 1 << 18  # floats of images that are put together at a time, for filters of 1 x 1


@lru_cache(maxsize=256)
def need(sizes: Sizes) -> Need:
    """Floats of scratch: the sums, and packed gradients and an unfolded image a thread.

    For filters of 1 x 1: images of which only the pixels that filters see have been kept.
    """
    if _is_product(sizes):
        if not unfolding(sizes).needed:
            return 0, CACHE_LINE
        return _together(sizes) * sizes.groups * sizes.channels * sizes.pixels, CACHE_LINE
    packed = whole(sizes.outputs, COLUMNS) * _lines(sizes) * sizes.out_width
    return _shares(sizes) * _sums(sizes), packed + unfolding(sizes).floats


class Cut(NamedTuple):
    """How the work is cut: the batch into shares, panels of outputs into parts, and lines."""

    shares: int
    parts: int
    lines: int  # of the output, that are worked on at a time
    taps: int  # K, up to a multiple of ROWS


def _sums(sizes: Sizes) -> int:
    """Floats of the sums of one share: [group][panel of outputs][tap][COLUMNS]."""
    return sizes.groups * whole(sizes.outputs, COLUMNS) * whole(sizes.depth, ROWS)


def _shares(sizes: Sizes) -> int:
    """Into how many shares the batch is cut: whatever the threads, 8, or 4 MB of sums."""
    return max(1, min(sizes.images, 8, (1 << 20) // _sums(sizes)))


def _lines(sizes: Sizes) -> int:
    return min(sizes.out_height, max(1, PIXELS // sizes.out_width))


@lru_cache(maxsize=256)
def _cut(sizes: Sizes, threads: int) -> Cut:
    shares = _shares(sizes)
    parts = min(-(-sizes.outputs // COLUMNS), -(-threads // (shares * sizes.groups)))
    return Cut(shares, parts, _lines(sizes), whole(sizes.depth, ROWS))


def backward_weight(sizes: Sizes, x: F32, dy: F32, dweight: F32, scratch: F32) -> None:
    """Add to dweight."""
    if _is_product(sizes):
        _add_product(sizes, x, dy, dweight, scratch)
        return
    work = divide(scratch, need(sizes))
    cut = _cut(sizes, work.threads)
    _sum_products(sizes, unfolding(sizes), cut, x.reshape(-1), dy.reshape(-1), work)
    _add_shares(sizes, cut, dweight.reshape(-1), work.floats)


def _is_product(sizes: Sizes) -> bool:
    """Whether it is a product of matrices as they are, or as they are put together."""
    return (sizes.kernel_h, sizes.kernel_w, sizes.pad_h, sizes.pad_w) == (1, 1, 0, 0)


def _together(sizes: Sizes) -> int:
    """How many images are put together at a time; where there is no stride, all as they are."""
    image = sizes.groups * sizes.channels * sizes.pixels
    needed = unfolding(sizes).needed
    return min(sizes.images, max(GATHERED // image, 1)) if needed else sizes.images


def _add_product(sizes: Sizes, x: F32, dy: F32, dweight: F32, scratch: F32) -> None:
    """Add to dweight, for filters of 1 x 1."""
    gathered = divide(scratch, need(sizes)).floats
    channels, step = sizes.groups * sizes.channels, _together(sizes)
    for first in range(0, sizes.images, step):
        count = min(step, sizes.images - first)
        seen, gradients = x[first : first + count], dy[first : first + count]
        if unfolding(sizes).needed:
            _gather(sizes, count * channels, seen.reshape(-1), gathered)
            seen = gathered[: count * channels * sizes.pixels]
        maps = (count, sizes.groups, -1, sizes.pixels)
        for group in range(sizes.groups):
            add_products(gradients.reshape(maps), seen.reshape(maps), dweight, group)


@kernel
def _gather(sizes: Sizes, maps: int, x: F32, out: F32) -> None:
    """Put together the pixels that filters see of so many channels' maps."""
    for index in prange(maps):
        to, source = index * sizes.pixels, index * sizes.height * sizes.width
        for _ in range(sizes.out_height):
            copy_line(sizes.out_width, x, source, sizes.stride_w, out, to)
            source += sizes.stride_h * sizes.width
            to += sizes.out_width


@kernel
def _sum_products(sizes: Sizes, u: Unfolding, cut: Cut, x: F32, dy: F32, work: Scratch) -> None:
    """For each share, [group][panel of outputs][tap][COLUMNS]: the sums over its images.

    A task is a share, a group, and a part of the panels of outputs.
    """
    memory = work.floats
    panels = (sizes.outputs + COLUMNS - 1) // COLUMNS
    shares, parts = cut.shares, cut.parts
    tasks = shares * sizes.groups * parts
    for thread in prange(work.threads):
        packed = work.shared + thread * work.each
        unfolded = packed + panels * COLUMNS * cut.lines * sizes.out_width
        for task in range(thread * tasks // work.threads, (thread + 1) * tasks // work.threads):
            item, part = task // parts, task % parts
            share, group = item // sizes.groups, item % sizes.groups
            first, last = part * panels // parts, (part + 1) * panels // parts
            outputs = min(last * COLUMNS, sizes.outputs) - first * COLUMNS
            sums = (item * panels + first) * cut.taps * COLUMNS
            fill_line((last - first) * cut.taps * COLUMNS, np.float32(0), memory, sums)
            for n in range(share * sizes.images // shares, (share + 1) * sizes.images // shares):
                seen = n * sizes.groups + group
                if u.needed:
                    unfold(sizes, u, x, seen * sizes.image, memory, unfolded)
                image, image0 = (memory, unfolded) if u.needed else (x, seen * sizes.image)
                for top in range(0, sizes.out_height, cut.lines):
                    bottom = min(top + cut.lines, sizes.out_height)
                    deep = (bottom - top) * sizes.out_width
                    dy0 = (seen * sizes.outputs + first * COLUMNS) * sizes.pixels
                    dy0 += top * sizes.out_width
                    rows = Vectors(dy, dy0, sizes.pixels, 1)
                    pack(rows, outputs, deep, int(COLUMNS), memory, packed, deep)
                    for panel in range(last - first):
                        _multiply_lines(
                            sizes, u, image, image0, top, bottom, memory,
                            packed + panel * deep * COLUMNS, sums + panel * cut.taps * COLUMNS,
                        )  # fmt: skip


@inlined
def _multiply_lines(
    sizes: Sizes, u: Unfolding, image: F32, image0: int, top: int, bottom: int, memory: F32,
    dy: int, sums: int,
) -> None:  # fmt: skip
    """sums[k] += sum over pixels of lines [top, bottom) of what tap k sees times dy, packed."""
    for k in range(0, sizes.depth, ROWS):
        seen = lines_that_see(sizes, k, min(k + ROWS, sizes.depth) - 1)
        first, last = max(seen[0], top), min(seen[1], bottom)
        if first < last:
            joined = u.line == sizes.out_width  # lines follow each other without a gap
            multiply_taps(
                1 if joined else last - first,
                (last - first) * sizes.out_width if joined else sizes.out_width,
                image, image0 + first * u.line, u.line, u.taps, k,
                memory, dy + (first - top) * sizes.out_width * COLUMNS, COLUMNS,
                memory, sums + k * COLUMNS, COLUMNS,
            )  # fmt: skip


@kernel
def _add_shares(sizes: Sizes, cut: Cut, dweight: F32, memory: F32) -> None:
    """Add the sums of all shares to dweight."""
    panels = (sizes.outputs + COLUMNS - 1) // COLUMNS
    step = sizes.groups * panels * cut.taps * COLUMNS
    for output in prange(sizes.groups * sizes.outputs):
        group, o = output // sizes.outputs, output % sizes.outputs
        source = (group * panels + o // COLUMNS) * cut.taps * COLUMNS + o % COLUMNS
        for r in range(sizes.kernel_h):
            for c in range(sizes.channels):
                for s in range(sizes.kernel_w):
                    total = np.float32(0)
                    for share in range(cut.shares):
                        total += memory[source + share * step]
                    dweight[filter_at(sizes, group, o, r, c, s)] += total
                    source += COLUMNS
