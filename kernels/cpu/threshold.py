"""Threshold: one pass over memory, 8 bytes and one comparison an element."""

import numpy as np
from numba import prange
from numpy.typing import NDArray

from ._compile.jit import kernel

F32 = NDArray[np.float32]


def forward(x: F32, y: F32, threshold: float) -> None:
    """Write 1 where x > threshold, 0 elsewhere, into y (any shape; y may be x)."""
    _forward(x.reshape(-1), y.reshape(-1), np.float32(threshold))


@kernel
def _forward(x: F32, y: F32, threshold: np.float32) -> None:
    for i in prange(x.size):
        y[i] = np.float32(1) if x[i] > threshold else np.float32(0)
