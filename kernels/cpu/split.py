"""Split: one pass for the first two gradients, one more for each other."""

from collections.abc import Sequence

import numpy as np
from numba import prange
from numpy.typing import NDArray

from ._compile.jit import kernel

F32 = NDArray[np.float32]


def backward(dys: Sequence[F32], dx: F32) -> None:
    """Write the sum of the arrays `dys` into dx (all of one shape; dx may be the first)."""
    flat = [dy.reshape(-1) for dy in dys]
    total = dx.reshape(-1)
    if len(flat) == 1:
        _copy(flat[0], total)
        return
    _add(flat[0], flat[1], total)
    for dy in flat[2:]:
        _add(total, dy, total)


@kernel
def _copy(a: F32, out: F32) -> None:
    for i in prange(a.size):
        out[i] = a[i]


@kernel
def _add(a: F32, b: F32, out: F32) -> None:
    for i in prange(a.size):
        out[i] = a[i] + b[i]
