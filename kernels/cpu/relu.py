"""ReLU: one pass over memory, 8 bytes and one comparison an element forward, 12 backward.

In place has kernels of its own, because only loops whose output is none of their inputs become
vector code.
"""

import numpy as np
from numba import prange
from numpy.typing import NDArray

from ._compile.jit import inner, kernel

F32 = NDArray[np.float32]


def forward(x: F32, y: F32, slope: float) -> None:
    """Write the rectified x into y (any shape; y may be x)."""
    if np.may_share_memory(x, y):
        _rectify_in_place(y.reshape(-1), np.float32(slope))
    else:
        _rectify(x.reshape(-1), y.reshape(-1), np.float32(slope))


def backward(x: F32, dy: F32, dx: F32, slope: float) -> None:
    """Write dy, times the slope where x <= 0, into dx (any shape; dx may be dy)."""
    if np.may_share_memory(dy, dx):
        _pass_in_place(x.reshape(-1), dx.reshape(-1), np.float32(slope))
    else:
        _pass(x.reshape(-1), dy.reshape(-1), dx.reshape(-1), np.float32(slope))


@inner
def rectified(x: np.float32, slope: np.float32) -> np.float32:
    """max(x, 0) + slope min(x, 0): 0, not -0, for x < 0 and slope 0; NaN stays NaN."""
    positive = np.float32(0) if x <= 0 else x
    negative = x if x <= 0 else np.float32(0)
    return positive + slope * negative


@kernel
def _rectify(x: F32, y: F32, slope: np.float32) -> None:
    for i in prange(y.size):
        y[i] = rectified(x[i], slope)


@kernel
def _rectify_in_place(y: F32, slope: np.float32) -> None:
    for i in prange(y.size):
        y[i] = rectified(y[i], slope)


@kernel
def _pass(x: F32, dy: F32, dx: F32, slope: np.float32) -> None:
    for i in prange(dx.size):
        dx[i] = dy[i] if x[i] > 0 else slope * dy[i]


@kernel
def _pass_in_place(x: F32, d: F32, slope: np.float32) -> None:
    for i in prange(d.size):
        d[i] *= np.float32(1) if x[i] > 0 else slope  # a choice of d or not would be a masked store
