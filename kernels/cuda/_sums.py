"""Sums over the channels of (N, C, inner): statistics, and gradients of parameters.

Some thousand values of a channel are a block's part; its threads go through them side by side, and
a warp adds up the parts of a channel. Of channels of one pixel, which lie side by side, a block
takes 32. How many parts there are depends on the shape alone, so that a sum is the same in every
run and on every GPU. A value is read once, whatever it is summed to.
"""

import math
from collections.abc import Callable
from functools import cache
from typing import Any

from . import memory
from ._array import DeviceArray
from ._compile.jit import Inner, Kernel, inner, kernel
from ._compile.words import (
    F32,
    WARP,
    blockDim,
    blockIdx,
    grid,
    gridDim,
    local,
    shared,
    syncthreads,
    threadIdx,
)
from ._reduce import block_sum, warp_sum

PART = 4096  # values of a channel that are worth a block
BLOCKS = 4096  # that keep the largest GPU busy: channels have no more parts than make so many
THREADS = 256
ROWS = THREADS // WARP
TOGETHER = 4  # values of a thread that are under way from memory at the same time

Terms = Inner | Callable[..., Any]


def channel_sums(
    add: Terms,
    args: tuple[DeviceArray, ...],
    sums: DeviceArray,
    factor: float = 1.0,
    accumulate: bool = False,
    count: int = 1,
) -> None:
    """Write `count` sums of each channel, times factor, into sums (count, C), or add them there.

    add(total, args, n, c, i) is @inner, and adds what element (n, c, i) gives to total[0], ...;
    args are the arrays that it needs, the first of which has the shape (N, C, inner).
    """
    images, channels, pixels = args[0].shape
    values = images * pixels
    together = WARP if pixels == 1 else 1  # channels of a block
    blocks = -(-channels // together)
    parts = max(1, min(-(-values * together // PART), -(-BLOCKS // max(1, blocks))))
    found = memory.scratch(sums, count * channels * parts).reshape(count, channels, parts)
    if pixels == 1:
        columns = _column_parts(add, count)[(blocks, parts), (WARP, ROWS)]
        columns(args, images, channels, found)
    else:
        threads = min(THREADS, max(1, -(-values // (parts * WARP))) * WARP)
        _parts(add, count)[(blocks, parts), threads](args, values, max(1, pixels), found)
    rows = count * channels
    _totals.over(rows * WARP)(
        found.reshape(rows, parts), sums.reshape(-1), float(factor), bool(accumulate)
    )


def channel_means(
    add: Terms, args: tuple[DeviceArray, ...], means: DeviceArray, count: int = 1
) -> None:
    """The same divided by the number of a channel's values; NaN where it has none."""
    images, _, pixels = args[0].shape
    factor = 1 / (images * pixels) if images * pixels else math.nan
    channel_sums(add, args, means, factor, count=count)


def as_channels(x: DeviceArray) -> DeviceArray:
    """The rows of x (rows, D) as channels of one image."""
    return x.reshape(1, *x.shape)


@inner
def value(total: F32, args: Any, n: int, c: int, i: int) -> None:
    """The sum of args[0]."""
    total[0] += args[0][n, c, i]


@inner
def product(total: F32, args: Any, n: int, c: int, i: int) -> None:
    """The sum of args[0] args[1]."""
    total[0] += args[0][n, c, i] * args[1][n, c, i]


@inner
def value_and_product(total: F32, args: Any, n: int, c: int, i: int) -> None:
    """Both of these sums, in one pass."""
    factor = args[0][n, c, i]
    total[0] += factor
    total[1] += factor * args[1][n, c, i]


@inner
def squared_distance(total: F32, args: Any, n: int, c: int, i: int) -> None:
    """The sum of (args[0] - args[1])^2, where args[1] is one number a channel."""
    distance = args[0][n, c, i] - args[1][c]
    total[0] += distance * distance


@cache
def _parts(add: Any, count: int) -> Kernel:
    @kernel
    def channel_sums(args: Any, values: int, inner: int, parts: F32) -> None:
        # m = n * inner + i: a value's number in its channel; a thread's next is `step` further
        c, part = blockIdx.x, blockIdx.y
        step = gridDim.y * blockDim.x
        m = part * blockDim.x + threadIdx.x
        n, i = m // inner, m % inner
        n_step, i_step = step // inner, step % inner
        total = local(count)
        for k in range(count):
            total[k] = 0.0
        while m < values - (TOGETHER - 1) * step:
            for _ in range(TOGETHER):
                add(total, args, n, c, i)
                n, i = _further(n, i, n_step, i_step, inner)
            m += TOGETHER * step
        while m < values:
            add(total, args, n, c, i)
            n, i = _further(n, i, n_step, i_step, inner)
            m += step
        for k in range(count):
            found = block_sum(total[k])
            if threadIdx.x == 0:
                parts[k, c, part] = found

    return channel_sums


@cache
def _column_parts(add: Any, count: int) -> Kernel:
    @kernel
    def column_sums(args: Any, images: int, channels: int, parts: F32) -> None:
        """A thread takes every so many-th image of one channel; images are axis y of the block."""
        lane, row = threadIdx.x, threadIdx.y
        c, part = blockIdx.x * WARP + lane, blockIdx.y
        total = local(count)
        for k in range(count):
            total[k] = 0.0
        if c < channels:
            for n in range(part * ROWS + row, images, gridDim.y * ROWS):
                add(total, args, n, c, 0)
        of_rows = shared((count, ROWS, WARP))
        for k in range(count):
            of_rows[k, row, lane] = total[k]
        syncthreads()
        if row < count and c < channels:
            found = 0.0
            for r in range(ROWS):
                found += of_rows[row, r, lane]
            parts[row, c, part] = found

    return column_sums


@inner
def _further(n: int, i: int, n_step: int, i_step: int, inner: int) -> Any:
    """(n, i) after a step, without a division."""
    n, i = n + n_step, i + i_step
    return (n + 1, i - inner) if i >= inner else (n, i)


@kernel
def _totals(parts: F32, sums: F32, factor: float, accumulate: bool) -> None:
    row, lane = grid() // WARP, threadIdx.x % WARP
    if row < parts.shape[0]:
        total = 0.0
        for part in range(lane, parts.shape[1], WARP):
            total += parts[row, part]
        total = factor * warp_sum(total)
        if lane == 0:
            sums[row] = total + sums[row] if accumulate else total
