"""One step of a long short-term memory: gates i, f, o and input g, the cell c, the output h.

# N sequences, H units; gates (N, 4 H) = [i, f, o, g]; cont (N): 0 where a sequence begins
#   c = cont sigmoid(f) c_prev + sigmoid(i) tanh(g)        h = sigmoid(o) tanh(c)
"""

import numpy as np
from numpy.typing import NDArray

F32 = NDArray[np.float32]


@np.errstate(all="ignore")
def forward(c_prev: F32, gates: F32, cont: F32, acts: F32, c: F32, h: F32) -> None:
    """Write c and h (N, H), and into acts (N, 4 H) the activated gates, f already times cont.

    acts may be gates.
    """
    size = c.shape[1]
    inputs = gates[:, 3 * size :]
    acts[:, 3 * size :] = np.tanh(inputs)
    acts[:, : 3 * size] = 0.5 * np.tanh(np.float32(0.5) * gates[:, : 3 * size]) + 0.5
    acts[:, size : 2 * size] *= cont[:, None]
    i, f, o, g = np.split(acts, 4, axis=1)
    c[...] = f * c_prev + i * g
    h[...] = o * np.tanh(c)


@np.errstate(all="ignore")
def backward(
    c_prev: F32, acts: F32, c: F32, dc: F32 | None, dh: F32, dc_prev: F32, dgates: F32
) -> None:
    """Write dc_prev (N, H) and dgates (N, 4 H) from dh and dc, 0 if None (dc_prev may be dc).

    The derivative of the forget gate is taken from its scaled value, f (1 - f), as Caffe does.
    """
    i, f, o, g = np.split(acts, 4, axis=1)
    tanh_c = np.tanh(c)
    cell = dh * o * (1 - tanh_c**2)
    if dc is not None:
        cell += dc
    slopes = (i * (1 - i), f * (1 - f), o * (1 - o), 1 - g * g)
    factors = (cell * g, cell * c_prev, dh * tanh_c, cell * i)
    dgates[...] = np.concatenate([a * b for a, b in zip(slopes, factors, strict=True)], axis=1)
    dc_prev[...] = cell * f
