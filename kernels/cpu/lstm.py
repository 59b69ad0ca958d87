"""One step of a long short-term memory: gates i, f, o and input g, the cell c, the output h.

# N sequences, H units; gates (N, 4 H) = [i, f, o, g]; cont (N): 0 where a sequence begins
#   c = cont sigmoid(f) c_prev + sigmoid(i) tanh(g)        h = sigmoid(o) tanh(c)
"""

import numpy as np
from numba import prange
from numpy.typing import NDArray

from ._compile.jit import kernel
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
        i, f = acts[n, :size], acts[n, size : 2 * size]
        o, g = acts[n, 2 * size : 3 * size], acts[n, 3 * size :]
        for j in range(acts.shape[1]):
            acts[n, j] = gates[n, j]
        for j in range(size):
            i[j] = sigmoid(i[j])
        for j in range(size):
            f[j] = cont[n] * sigmoid(f[j])
        for j in range(size):
            o[j] = sigmoid(o[j])
        for j in range(size):
            g[j] = tanh(g[j])
        for j in range(size):
            c[n, j] = f[j] * c_prev[n, j] + i[j] * g[j]
        for j in range(size):
            h[n, j] = o[j] * tanh(c[n, j])


@kernel
def _backward(
    c_prev: F32, acts: F32, c: F32, dc: F32, given: bool, dh: F32, dc_prev: F32, dgates: F32
) -> None:
    size = c.shape[1]
    for n in prange(c.shape[0]):
        i, f = acts[n, :size], acts[n, size : 2 * size]
        o, g = acts[n, 2 * size : 3 * size], acts[n, 3 * size :]
        di, df = dgates[n, :size], dgates[n, size : 2 * size]
        do, dg = dgates[n, 2 * size : 3 * size], dgates[n, 3 * size :]
        for j in range(size):
            tanh_c = tanh(c[n, j])
            do[j] = dh[n, j] * tanh_c * o[j] * (ONE - o[j])
            # the gradient of the cell, for a moment in the place of that of g
            dg[j] = (dc[n, j] if given else ZERO) + dh[n, j] * o[j] * (ONE - tanh_c * tanh_c)
        for j in range(size):
            cell = dg[j]
            di[j] = cell * g[j] * i[j] * (ONE - i[j])
            df[j] = cell * c_prev[n, j] * f[j] * (ONE - f[j])
            dg[j] = cell * i[j] * (ONE - g[j] * g[j])
            dc_prev[n, j] = cell * f[j]
