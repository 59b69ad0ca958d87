"""The gradient of the filters by Winograd's minimal filtering: the adjoint of forward.

With V = B^T d B of the tiles, and the gradients of their outputs transformed by the transpose of
what gives the outputs, for each of the n x n elements

    S (C, O) = sum over tiles of V (C, T) @ (A dy A^T) (T, O)           dW += G^T S G

which are as many multiplications as forward takes. V's numbers are broadcast from where they
were written; A dy A^T is packed, COLUMNS outputs a panel.

Threads share shares of the tiles, groups, and panels of outputs. The sums are taken for `_shares`
shares of the tiles, and then over shares, in the same order for every number of threads.
"""

import numpy as np
from numba import prange
from numpy.typing import NDArray

from ..._compile.jit import kernel
from ..._vector.instructions import LANES
from ..._vector.lanes import add_lanes, copy_lanes, fill_line
from ..._vector.scratch import Scratch, whole
from ...gemm.matrix import Vectors
from ...gemm.micro_kernel import COLUMNS
from ...gemm.packing import pack
from .products import add_products_of_lines
from .tiles import ZERO, Tiling, transform_gradients, transform_inputs, working_memory
from .transforms import FILTER_GRADIENT, transform

F32 = NDArray[np.float32]


def sums_of_a_share(t: Tiling) -> int:
    """Floats of the sums of one share: [group][panel of outputs][element][channel][COLUMNS]."""
    return t.groups * t.n * t.n * whole(t.outputs, COLUMNS) * t.sum_rows


def _shares(t: Tiling) -> int:
    """Into how many shares the rows of tiles are cut: whatever the threads, 8, or 4 MB of sums."""
    blocks = -(-t.images * t.tiles_h // t.rows)
    return max(1, min(blocks, 8, (1 << 20) // sums_of_a_share(t)))


def backward_weight(t: Tiling, x: F32, dy: F32, dweight: F32) -> None:
    """Add to dweight."""
    packed = whole(t.outputs, COLUMNS) * whole(t.rows * t.tiles_w, COLUMNS)
    each = t.line + t.stage + t.n * t.n * (t.channel_step + t.gradient_step + packed) + 3 * LANES
    shares = _shares(t)
    work = working_memory(shares * sums_of_a_share(t), each)
    parts = min(-(-t.outputs // COLUMNS), -(-work.threads // (shares * t.groups)))
    _sum_products(t, x.reshape(-1), dy.reshape(-1), work, shares, parts)
    add_shares(t, dweight.reshape(-1), work, shares)


@kernel
def _sum_products(t: Tiling, x: F32, dy: F32, work: Scratch, shares: int, parts: int) -> None:
    """For each share, the sums over its tiles of V times A dy A^T.

    A task is a share, a group, and a part of the panels of outputs.
    """
    memory, panels = work.floats, (t.outputs + COLUMNS - 1) // COLUMNS
    squares = t.n * t.n
    depth = t.sum_rows * COLUMNS  # sums of an element and panel
    tasks = shares * t.groups * parts
    all_rows = t.images * t.tiles_h
    for thread in prange(work.threads):
        padded = work.shared + thread * work.each
        stage = padded + t.line
        inputs = stage + t.stage + LANES
        gradients = inputs + squares * t.channel_step
        packed = gradients + squares * t.gradient_step
        for task in range(thread * tasks // work.threads, (thread + 1) * tasks // work.threads):
            share, group = task // parts // t.groups, task // parts % t.groups
            first = task % parts * panels // parts
            last = (task % parts + 1) * panels // parts
            sums = ((share * t.groups + group) * panels + first) * squares * depth
            begin, end = share * all_rows // shares, (share + 1) * all_rows // shares
            if begin == end:  # there are no images
                fill_line((last - first) * squares * depth, ZERO, memory, sums)
            for top in range(begin, end, t.rows):
                bottom = min(top + t.rows, end)
                tiles = (bottom - top) * t.tiles_w
                fill_line(t.line, ZERO, memory, padded)
                for c in range(t.channels):
                    transform_inputs(
                        t, x, group * t.channels + c, top, bottom, memory, padded, stage,
                        inputs + c * t.plane, COLUMNS, t.channel_step,
                    )  # fmt: skip
                fill_line(t.line, ZERO, memory, padded)
                for panel in range(first, last):
                    count = min(COLUMNS, t.outputs - panel * COLUMNS)
                    for o in range(count):
                        transform_gradients(
                            t, dy, group * t.outputs + panel * COLUMNS + o, top, bottom,
                            memory, padded, stage, gradients + o * t.plane, t.gradient_step,
                        )  # fmt: skip
                    for element in range(squares):
                        pack(
                            Vectors(memory, gradients + element * t.gradient_step, t.plane, 1),
                            count, tiles, int(COLUMNS), memory,
                            packed + (element * panels + panel - first) * tiles * COLUMNS, tiles,
                        )  # fmt: skip
                for element in range(squares):
                    for panel in range(last - first):
                        b = packed + (element * panels + panel) * tiles * COLUMNS
                        to = sums + (panel * squares + element) * depth
                        add_products_of_lines(
                            t.channels, tiles, memory, inputs + element * t.channel_step, t.plane,
                            b, to, top > begin,
                        )  # fmt: skip


@kernel
def add_shares(t: Tiling, dweight: F32, work: Scratch, shares: int) -> None:
    """Add G^T S G, S being the sums of all shares, to dweight."""
    memory, panels = work.floats, (t.outputs + COLUMNS - 1) // COLUMNS
    squares, taps = t.n * t.n, t.r * t.r
    depth = t.sum_rows * COLUMNS
    share_step = t.groups * panels * squares * depth
    for thread in prange(work.threads):
        total = work.shared + thread * work.each
        found = total + squares * LANES
        tasks = t.groups * panels
        for task in range(thread * tasks // work.threads, (thread + 1) * tasks // work.threads):
            group, first = task // panels, task % panels * COLUMNS
            for c in range(t.channels):
                for lane in range(0, COLUMNS, LANES):
                    for element in range(squares):
                        at = (task * squares + element) * depth + c * COLUMNS + lane
                        copy_lanes(memory, at, memory, total + element * LANES)
                        for share in range(1, shares):
                            source, to = at + share * share_step, total + element * LANES
                            add_lanes(LANES, memory, source, memory, to)
                    transform(
                        FILTER_GRADIENT, t.which, memory, total, t.n * LANES, LANES,
                        memory, found, LANES,
                    )  # fmt: skip
                    for o in range(min(LANES, t.outputs - first - lane)):
                        to = ((group * t.outputs + first + lane + o) * t.channels + c) * taps
                        for tap in range(taps):
                            dweight[to + tap] += memory[found + tap * LANES + o]
