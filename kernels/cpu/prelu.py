"""PReLU: 8 bytes and one comparison an element forward; backward 12, and 8 for the slopes.

Arrays are (N, C, inner), slopes (C).
"""

import numpy as np
from numba import prange
from numpy.typing import NDArray

from ._compile.jit import kernel

F32 = NDArray[np.float32]

ZERO, ONE = np.float32(0), np.float32(1)


def forward(x: F32, slope: F32, y: F32) -> None:
    """Write the rectified x into y (y may be x)."""
    backward_data(x, slope, x, y)


def backward_slope(x: F32, dy: F32, dslope: F32) -> None:
    """Add dy x, summed where x <= 0, to dslope."""
    _backward_slope(x, dy, dslope)


def backward_data(x: F32, slope: F32, dy: F32, dx: F32) -> None:
    """Write dy, times the slope where x <= 0, into dx (dx may be dy)."""
    _select(x, slope, dy, dx)


@kernel
def _select(x: F32, slope: F32, source: F32, target: F32) -> None:
    channels = x.shape[1]
    for task in prange(x.shape[0] * channels):
        n = task // channels
        c = task % channels
        factor = slope[c]
        for i in range(x.shape[2]):
            target[n, c, i] = source[n, c, i] * (ONE if x[n, c, i] > ZERO else factor)


@kernel
def _backward_slope(x: F32, dy: F32, dslope: F32) -> None:
    for c in prange(x.shape[1]):
        total = np.float64(0)
        for n in range(x.shape[0]):
            row = ZERO
            for i in range(x.shape[2]):
                row += dy[n, c, i] * min(x[n, c, i], ZERO)
            total += row
        dslope[c] += total
