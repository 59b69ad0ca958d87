"""What losses end with: a sum over many terms becomes one number, and the first bad label is found.

A loss says what a term is, `one(i, args)`: its value, 1 if it counts and 0 if not, and the position
of a label that names no class, or NONE. A thread adds up its terms in float64, a block its threads'
sums in a tree. Few terms are the work of one block, in one launch; else one block more adds up the
sums of at most 1024. So the order depends on how many terms there are, and on nothing else.
"""

from collections.abc import Callable
from functools import cache
from typing import Any

import numpy as np

from . import memory
from ._array import DeviceArray
from ._compile.jit import Kernel, inner, kernel
from ._compile.words import F32, I32, blockIdx, grid, gridsize, shared, syncthreads, threadIdx

THREADS = 256
BLOCKS = 1024  # at most
EACH = 8  # terms of a thread, before there is a second block
NONE = 2**31 - 1  # no position

F64 = Any


def write_mean(
    one: Callable[..., Any],
    count: int,
    args: tuple[Any, ...],
    divisor: int,
    loss: DeviceArray | None,
    found: DeviceArray | None,
) -> None:
    """Write the sum of `one(i, args)` over `count` terms, divided by n, into loss (1).

    n is the divisor; if that is 0, how many terms count, and at least 1. Writes into found the
    position of the first bad label or -1 and, if it has a second element, n.
    """
    blocks = min(BLOCKS, max(1, -(-count // (THREADS * EACH))))
    if blocks == 1:
        _terms(one)[1, THREADS](args, count, divisor, loss, found, None)
        return
    parts = (
        memory.scratch(args[0], blocks, "float64"),
        memory.scratch(args[0], blocks, "int32"),
        memory.scratch(args[0], blocks, "int32"),
    )
    _terms(one)[blocks, THREADS](args, count, divisor, loss, found, parts)
    _finish[1, THREADS](parts, divisor, loss, found)


@cache
def _terms(one: Callable[..., Any]) -> Kernel:
    @kernel
    def terms(args: Any, count: int, divisor: int, loss: F32, found: I32, parts: Any) -> None:
        total, counting, first = np.float64(0), 0, NONE
        for i in range(grid(), count, gridsize()):
            value, counts, bad = one(i, args)
            total += np.float64(value)
            counting += counts
            first = min(first, bad)
        total, counting, first = _of_block(total, counting, first)
        if threadIdx.x == 0:
            if parts is None:
                _write(total, counting, first, divisor, loss, found)
            else:
                sums, numbers, positions = parts
                sums[blockIdx.x] = total
                numbers[blockIdx.x] = counting
                positions[blockIdx.x] = first

    return terms


@kernel
def _finish(parts: Any, divisor: int, loss: F32, found: I32) -> None:
    sums, numbers, positions = parts
    total, counting, first = np.float64(0), 0, NONE
    for block in range(threadIdx.x, sums.size, THREADS):
        total += sums[block]
        counting += numbers[block]
        first = min(first, positions[block])
    total, counting, first = _of_block(total, counting, first)
    if threadIdx.x == 0:
        _write(total, counting, first, divisor, loss, found)


@inner
def _of_block(total: Any, counting: Any, first: Any) -> Any:
    """The sums over the block, and the least position; in its first thread."""
    sums, numbers = shared(THREADS, np.float64), shared(THREADS, int)
    positions = shared(THREADS, int)
    t = threadIdx.x
    sums[t], numbers[t], positions[t] = total, counting, first
    syncthreads()
    half = THREADS // 2
    while half > 0:
        if t < half:
            sums[t] += sums[t + half]
            numbers[t] += numbers[t + half]
            positions[t] = min(positions[t], positions[t + half])
        syncthreads()
        half //= 2
    return sums[0], numbers[0], positions[0]


@inner
def _write(total: Any, counting: Any, first: Any, divisor: Any, loss: Any, found: Any) -> None:
    n = divisor if divisor > 0 else max(1, counting)
    if loss is not None:
        loss[0] = np.float32(total / np.float64(n))
    if found is not None:
        found[0] = first if first < NONE else -1
        if found.size > 1:
            found[1] = n
