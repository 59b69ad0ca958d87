"""Softsign: y = x / (1 + |x|) (Turian, Bergstra and Bengio, 2009)."""

import numpy as np
from numpy.typing import NDArray

F32 = NDArray[np.float32]


@np.errstate(all="ignore")
def forward(x: F32, y: F32) -> None:
    """Write the function of x into y (any shape)."""
    y[...] = x / (1 + np.abs(x))


@np.errstate(all="ignore")
def backward(x: F32, dy: F32, dx: F32) -> None:
    """Write dy times the slope at x into dx (any shape)."""
    dx[...] = dy / np.square(1 + np.abs(x))
