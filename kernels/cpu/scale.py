"""Scale and bias: 8 bytes an element forward and for dx, 4 or 8 for the sums of the gradients.

Arrays are (outer, S, inner), scale and bias (S). With inner = 1 the loops run along S instead.
"""

import numpy as np
from numba import prange
from numpy.typing import NDArray

from ._compile.jit import kernel

F32 = NDArray[np.float32]

ZERO, ONE = np.float32(0), np.float32(1)
NOTHING = np.float32(-0.0)  # added to anything, -0 too, it gives just that
BLOCK = 64  # columns a task sums


def forward(x: F32, scale: F32 | None, bias: F32 | None, y: F32) -> None:
    """Write scale x + bias into y (y may be x); without scale it is 1, without bias 0."""
    some = scale if scale is not None else bias  # what is absent is not read
    assert some is not None
    vectors = (some if scale is None else scale, some if bias is None else bias)
    given = (scale is not None, bias is not None)
    if x.shape[2] == 1:
        _forward_rows(x.reshape(x.shape[:2]), *vectors, *given, y.reshape(x.shape[:2]))
    else:
        _forward_maps(x, *vectors, *given, y)


def gradient(x: F32 | None, dy: F32, total: F32, accumulate: bool) -> None:
    """Sum dy x (scale's gradient), or dy (bias's, without x), into total (S), or add it there."""
    other = dy if x is None else x
    if dy.shape[2] == 1:
        rows = dy.shape[:2]
        _gradient_rows(other.reshape(rows), x is not None, dy.reshape(rows), total, accumulate)
    else:
        _gradient_maps(other, x is not None, dy, total, accumulate)


@kernel
def _forward_rows(x: F32, scale: F32, bias: F32, scaled: bool, biased: bool, y: F32) -> None:
    for n in prange(x.shape[0]):
        for s in range(x.shape[1]):
            factor = scale[s] if scaled else ONE
            y[n, s] = factor * x[n, s] + (bias[s] if biased else NOTHING)


@kernel
def _forward_maps(x: F32, scale: F32, bias: F32, scaled: bool, biased: bool, y: F32) -> None:
    channels = x.shape[1]
    for task in prange(x.shape[0] * channels):
        n = task // channels
        s = task % channels
        factor = scale[s] if scaled else ONE
        shift = bias[s] if biased else NOTHING
        for i in range(x.shape[2]):
            y[n, s, i] = factor * x[n, s, i] + shift


@kernel
def _gradient_rows(x: F32, times_x: bool, dy: F32, total: F32, accumulate: bool) -> None:
    count = dy.shape[1]
    for block in prange((count + BLOCK - 1) // BLOCK):
        first = block * BLOCK
        size = min(BLOCK, count - first)
        found = np.zeros(BLOCK, np.float32)
        for n in range(dy.shape[0]):
            for s in range(size):
                found[s] += dy[n, first + s] * (x[n, first + s] if times_x else ONE)
        for s in range(size):
            total[first + s] = found[s] + (total[first + s] if accumulate else ZERO)


@kernel
def _gradient_maps(x: F32, times_x: bool, dy: F32, total: F32, accumulate: bool) -> None:
    for s in prange(dy.shape[1]):
        found = np.float64(0)
        for n in range(dy.shape[0]):
            row = ZERO
            for i in range(dy.shape[2]):
                row += dy[n, s, i] * (x[n, s, i] if times_x else ONE)
            found += row
        total[s] = np.float32(found) + (total[s] if accumulate else ZERO)
