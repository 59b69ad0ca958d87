"""Fill: one value everywhere."""

import numpy as np
from numba import prange
from numpy.typing import NDArray

from ._compile.jit import kernel

F32 = NDArray[np.float32]


def fill(x: F32, value: float) -> None:
    """Write the value into all of x (any shape)."""
    _fill(x.reshape(-1), np.float32(value))


@kernel
def _fill(x: F32, value: np.float32) -> None:
    for i in prange(x.size):
        x[i] = value
