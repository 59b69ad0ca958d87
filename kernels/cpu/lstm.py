"""One step of a long short-term memory: gates i, f, o and input g, the cell c, the output h.

# N sequences, H units; gates (N, 4 H) = [i, f, o, g]; cont (N): 0 where a sequence begins
#   c = cont sigmoid(f) c_prev + sigmoid(i) tanh(g)        h = sigmoid(o) tanh(c)
"""

import numpy as np
from numba import prange
from numpy.typing import NDArray

from ._jit import kernel
from ._scalar import sigmoid, tanh

F32 = NDArray[np.float32]

ZERO, ONE = np.float32(0), np.float32(1)


def forward(c_prev: F32, gates: F32, cont: F32, acts: F32, c: F32, h: F32) -> None:
    """Write c and h (N, H), and into acts (N, 4 H) the activated gates, f already times cont.

    acts may be gates.
    """
    _forward(c_prev, gates, cont, acts, c, h)


def backward(
    c_prev: F32, acts: F32, c: F32, dc: F32 | None, dh: F32, dc_prev: F32, dgates: F32
) -> None:
    """Write dc_prev (N, H) and dgates (N, 4 H) from dh and dc, 0 if None (dc_prev may be dc).

    The derivative of the forget gate is taken from its scaled value, f (1 - f), as Caffe does.
    """
    _backward(c_prev, acts, c, dh if dc is None else dc, dc is not None, dh, dc_prev, dgates)


@kernel
def _forward(c_prev: F32, gates: F32, cont: F32, acts: F32, c: F32, h: F32) -> None:
    size = c.shape[1]
    for n in prange(c.shape[0]):
        for j in range(3 * size):
            acts[n, j] = sigmoid(gates[n, j])
        for j in range(3 * size, 4 * size):
            acts[n, j] = tanh(gates[n, j])
        for j in range(size):
            acts[n, size + j] *= cont[n]
            cell = acts[n, size + j] * c_prev[n, j] + acts[n, j] * acts[n, 3 * size + j]
            c[n, j] = cell
            h[n, j] = acts[n, 2 * size + j] * tanh(cell)


@kernel
def _backward(
    c_prev: F32, acts: F32, c: F32, dc: F32, given: bool, dh: F32, dc_prev: F32, dgates: F32
) -> None:
    size = c.shape[1]
    for n in prange(c.shape[0]):
        for j in range(size):
            i, f = acts[n, j], acts[n, size + j]
            o, g = acts[n, 2 * size + j], acts[n, 3 * size + j]
            tanh_c = tanh(c[n, j])
            cell = (dc[n, j] if given else ZERO) + dh[n, j] * o * (ONE - tanh_c * tanh_c)
            dgates[n, j] = cell * g * i * (ONE - i)
            dgates[n, size + j] = cell * c_prev[n, j] * f * (ONE - f)
            dgates[n, 2 * size + j] = dh[n, j] * tanh_c * o * (ONE - o)
            dgates[n, 3 * size + j] = cell * i * (ONE - g * g)
            dc_prev[n, j] = cell * f
