"""Sums and maxima of what the threads of a warp or of a block hold."""

from typing import Any

from ._compile.jit import inner
from ._compile.words import (
    F32,
    WARP,
    blockDim,
    shared,
    shuffle_xor,
    syncthreads,
    threadIdx,
)  # fmt: skip

WARPS = 32  # at most, in a block


@inner
def warp_sum(value: Any) -> Any:
    """The sum over the warp, in each of its threads."""
    lane = WARP // 2
    while lane > 0:
        value += shuffle_xor(value, lane)
        lane //= 2
    return value


@inner
def warp_max(value: Any) -> Any:
    """The largest of the warp, in each of its threads."""
    lane = WARP // 2
    while lane > 0:
        value = max(value, shuffle_xor(value, lane))
        lane //= 2
    return value


@inner
def block_sum(value: Any) -> Any:
    """The sum over a block of whole warps, along x, in each of its threads."""
    sums = shared(WARPS)
    _one_of_each_warp(warp_sum(value), sums)
    total = 0.0
    for warp in range(blockDim.x // WARP):
        total += sums[warp]
    syncthreads()
    return total


@inner
def block_max(value: Any) -> Any:
    """The largest of a block of whole warps, along x, in each of its threads."""
    maxima = shared(WARPS)
    _one_of_each_warp(warp_max(value), maxima)
    top = maxima[0]
    for warp in range(1, blockDim.x // WARP):
        top = max(top, maxima[warp])
    syncthreads()
    return top


@inner
def _one_of_each_warp(value: Any, values: F32) -> None:
    if threadIdx.x % WARP == 0:
        values[threadIdx.x // WARP] = value
    syncthreads()
