"""Dropout: a mask and a factor, a thread for each element."""

from ._array import DeviceArray
from ._compile.jit import kernel
from ._compile.words import F32, grid


def apply(x: DeviceArray, mask: DeviceArray, y: DeviceArray, scale: float) -> None:
    """Write x mask scale into y (any shape; y may be x)."""
    arrays = (each.reshape(-1) for each in (x, mask, y))
    _apply.over(y.size)(*arrays, float(scale))


@kernel
def _apply(x: F32, mask: F32, y: F32, scale: float) -> None:
    i = grid()
    if i < y.size:
        y[i] = x[i] * mask[i] * scale
