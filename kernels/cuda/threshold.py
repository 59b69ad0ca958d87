"""Threshold: which elements are above a limit, a thread each."""

from ._array import DeviceArray
from ._compile.jit import kernel
from ._compile.words import F32, grid


def forward(x: DeviceArray, y: DeviceArray, threshold: float) -> None:
    """Write 1 where x > threshold, 0 elsewhere, into y (any shape; y may be x)."""
    _forward.over(y.size)(x.reshape(-1), y.reshape(-1), float(threshold))


@kernel
def _forward(x: F32, y: F32, threshold: float) -> None:
    i = grid()
    if i < y.size:
        y[i] = 1.0 if x[i] > threshold else 0.0
