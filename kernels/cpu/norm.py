"""Norms of flat arrays: the length of the gradient, by which it is clipped; 4 bytes an element."""

import numpy as np
from numba import prange
from numpy.typing import NDArray

from ._compile.jit import kernel

F32 = NDArray[np.float32]

CHUNK = 1 << 14  # the sum of a chunk is taken by one thread


def sum_of_squares(x: F32) -> float:
    """The sum of x^2, taken in float64, the same for any number of threads and any CPU."""
    partial = np.empty(-(-x.size // CHUNK), np.float64)
    _sums_of_squares(x.reshape(-1), partial)
    return float(partial.sum())


@kernel(strict=True)
def _sums_of_squares(x: F32, partial: NDArray[np.float64]) -> None:
    for chunk in prange(partial.size):
        start = chunk * CHUNK
        end = min(start + CHUNK, x.size)
        lanes = np.zeros(8)  # additions that need not wait for each other
        whole = start + (end - start) // 8 * 8
        for i in range(start, whole, 8):
            for lane in range(8):
                lanes[lane] += np.float64(x[i + lane]) * np.float64(x[i + lane])
        for i in range(whole, end):
            lanes[0] += np.float64(x[i]) * np.float64(x[i])
        partial[chunk] = lanes.sum()
