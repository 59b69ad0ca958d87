"""ReLU: one pass over memory, 8 bytes and one comparison an element forward, 12 backward."""

import numpy as np
from numba import prange
from numpy.typing import NDArray

from ._jit import kernel

F32 = NDArray[np.float32]


def forward(x: F32, y: F32, slope: float) -> None:
    """Write the rectified x into y (any shape; y may be x)."""
    _forward(x.reshape(-1), y.reshape(-1), np.float32(slope))


def backward(x: F32, dy: F32, dx: F32, slope: float) -> None:
    """Write dy, times the slope where x <= 0, into dx (any shape; dx may be dy)."""
    _backward(x.reshape(-1), dy.reshape(-1), dx.reshape(-1), np.float32(slope))


@kernel
def _forward(x: F32, y: F32, slope: np.float32) -> None:
    for i in prange(x.size):
        y[i] = x[i] if x[i] > 0 else slope * x[i]


@kernel
def _backward(x: F32, dy: F32, dx: F32, slope: np.float32) -> None:
    for i in prange(x.size):
        dx[i] = dy[i] if x[i] > 0 else slope * dy[i]
