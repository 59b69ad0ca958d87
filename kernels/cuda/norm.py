"""Norms of flat arrays: the length of the gradient, by which it is clipped."""

import numpy as np

from . import memory
from ._array import DeviceArray
from ._compile.jit import kernel
from ._compile.words import F32, blockIdx, grid, gridsize, shared, syncthreads, threadIdx

BLOCKS, THREADS = 256, 256


def sum_of_squares(x: DeviceArray) -> float:
    """The sum of x^2, taken in float64; this waits for the device."""
    parts = memory.scratch(x, BLOCKS, "float64")
    _sums[BLOCKS, THREADS](x, parts)
    host = np.empty(BLOCKS)
    memory.download(parts, host)
    return float(host.sum())


@kernel
def _sums(x: F32, parts: F32) -> None:
    """A block adds up what its threads have, in a tree: the order is that of the grid alone."""
    sums = shared(THREADS, np.float64)
    total = np.float64(0)
    for i in range(grid(), x.size, gridsize()):
        total += np.float64(x[i]) * np.float64(x[i])
    t = threadIdx.x
    sums[t] = total
    syncthreads()
    half = THREADS // 2
    while half > 0:
        if t < half:
            sums[t] += sums[t + half]
        syncthreads()
        half //= 2
    if t == 0:
        parts[blockIdx.x] = sums[0]
