"""What all recurrent layers do between their matrix products: one pass over memory each.

# T steps, N sequences side by side, H hidden units, G inputs of a step's nonlinearity
# cont (N): 0 where a sequence begins at this step, 1 where it goes on
"""

import numpy as np
from numba import prange
from numpy.typing import NDArray

from ._compile.jit import kernel

F32 = NDArray[np.float32]


def start(bias: F32, static: F32 | None, gates: F32) -> None:
    """Write bias (G), plus static (N, G) if given, into every step of gates (T, N, G)."""
    _start(bias, gates[0] if static is None else static, static is not None, gates)


def mask(cont: F32, h: F32, masked: F32) -> None:
    """Write cont h into masked (N, H)."""
    _mask(cont, h, masked)


def add_masked(dy: F32, cont: F32, dh: F32) -> None:
    """Write dy + cont dh into dh (N, H)."""
    _add_masked(dy, cont, dh)


@kernel
def _start(bias: F32, static: F32, given: bool, gates: F32) -> None:
    steps, sequences, size = gates.shape
    for row in prange(steps * sequences):
        t = row // sequences
        n = row % sequences
        for j in range(size):
            gates[t, n, j] = bias[j] + (static[n, j] if given else np.float32(0))


@kernel
def _mask(cont: F32, h: F32, masked: F32) -> None:
    for n in prange(h.shape[0]):
        for j in range(h.shape[1]):
            masked[n, j] = cont[n] * h[n, j]


@kernel
def _add_masked(dy: F32, cont: F32, dh: F32) -> None:
    for n in prange(dh.shape[0]):
        for j in range(dh.shape[1]):
            dh[n, j] = dy[n, j] + cont[n] * dh[n, j]
