"""What all recurrent layers do between their matrix products: a thread for each element.

# T steps, N sequences side by side, H hidden units, G inputs of a step's nonlinearity
# cont (N): 0 where a sequence begins at this step, 1 where it goes on
"""

from ._array import DeviceArray
from ._compile.jit import kernel
from ._compile.words import F32, grid


def start(bias: DeviceArray, static: DeviceArray | None, gates: DeviceArray) -> None:
    """Write bias (G), plus static (N, G) if given, into every step of gates (T, N, G)."""
    flat = None if static is None else static.reshape(-1)
    _start.over(gates.size)(bias, flat, gates.reshape(-1))


def mask(cont: DeviceArray, h: DeviceArray, masked: DeviceArray) -> None:
    """Write cont h into masked (N, H)."""
    _mask.over(h.size)(cont, h.reshape(-1), masked.reshape(-1), h.shape[1])


def add_masked(dy: DeviceArray, cont: DeviceArray, dh: DeviceArray) -> None:
    """Write dy + cont dh into dh (N, H)."""
    _add_masked.over(dh.size)(dy.reshape(-1), cont, dh.reshape(-1), dh.shape[1])


@kernel
def _start(bias: F32, static: F32 | None, gates: F32) -> None:
    i = grid()
    if i < gates.size:
        value = bias[i % bias.size]
        if static is not None:
            value += static[i % static.size]
        gates[i] = value


@kernel
def _mask(cont: F32, h: F32, masked: F32, size: int) -> None:
    i = grid()
    if i < h.size:
        masked[i] = cont[i // size] * h[i]


@kernel
def _add_masked(dy: F32, cont: F32, dh: F32, size: int) -> None:
    i = grid()
    if i < dh.size:
        dh[i] = dy[i] + cont[i // size] * dh[i]
