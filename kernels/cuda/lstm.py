"""One step of a long short-term memory: gates i, f, o and input g, the cell c, the output h.

# N sequences, H units; gates (N, 4 H) = [i, f, o, g]; cont (N): 0 where a sequence begins
#   c = cont sigmoid(f) c_prev + sigmoid(i) tanh(g)        h = sigmoid(o) tanh(c)

A thread for each unit of a sequence: 44 bytes forward, 56 back.
"""

from ._array import DeviceArray
from ._compile.jit import kernel
from ._compile.words import F32, grid
from ._scalar import sigmoid, tanh


def forward(
    c_prev: DeviceArray,
    gates: DeviceArray,
    cont: DeviceArray,
    acts: DeviceArray,
    c: DeviceArray,
    h: DeviceArray,
) -> None:
    """Write c and h (N, H), and into acts (N, 4 H) the activated gates, f already times cont.

    acts may be gates.
    """
    _forward.over(c.size)(c_prev, gates, cont, acts, c, h)


def backward(
    c_prev: DeviceArray,
    acts: DeviceArray,
    c: DeviceArray,
    dc: DeviceArray | None,
    dh: DeviceArray,
    dc_prev: DeviceArray,
    dgates: DeviceArray,
) -> None:
    """Write dc_prev (N, H) and dgates (N, 4 H) from dh and dc, 0 if None (dc_prev may be dc).

    The derivative of the forget gate is taken from its scaled value, f (1 - f), as Caffe does.
    """
    _backward.over(c.size)(c_prev, acts, c, dc, dh, dc_prev, dgates)


@kernel
def _forward(c_prev: F32, gates: F32, cont: F32, acts: F32, c: F32, h: F32) -> None:
    at = grid()
    if at < c.size:
        size = c.shape[1]
        n, j = at // size, at % size
        i, f = sigmoid(gates[n, j]), cont[n] * sigmoid(gates[n, size + j])
        o, g = sigmoid(gates[n, 2 * size + j]), tanh(gates[n, 3 * size + j])
        acts[n, j], acts[n, size + j] = i, f
        acts[n, 2 * size + j], acts[n, 3 * size + j] = o, g
        cell = f * c_prev[n, j] + i * g
        c[n, j] = cell
        h[n, j] = o * tanh(cell)


@kernel
def _backward(
    c_prev: F32, acts: F32, c: F32, dc: F32 | None, dh: F32, dc_prev: F32, dgates: F32
) -> None:
    at = grid()
    if at < c.size:
        size = c.shape[1]
        n, j = at // size, at % size
        i, f = acts[n, j], acts[n, size + j]
        o, g = acts[n, 2 * size + j], acts[n, 3 * size + j]
        tanh_c = tanh(c[n, j])
        cell = dh[n, j] * o * (1.0 - tanh_c * tanh_c)
        if dc is not None:
            cell += dc[n, j]
        dgates[n, j] = i * (1.0 - i) * (cell * g)
        dgates[n, size + j] = f * (1.0 - f) * (cell * c_prev[n, j])
        dgates[n, 2 * size + j] = o * (1.0 - o) * (dh[n, j] * tanh_c)
        dgates[n, 3 * size + j] = (1.0 - g * g) * (cell * i)
        dc_prev[n, j] = cell * f
