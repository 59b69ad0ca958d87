"""Gelu: y = x/2 (1 + tanh(c (x + 0.044715 x^3))), c = sqrt(2 / pi) (Hendrycks and Gimpel, 2016)."""

import numpy as np
from numpy.typing import NDArray

F32 = NDArray[np.float32]

CUBE = np.float32(0.044715)
SCALE = np.float32((2 / np.pi) ** 0.5)


@np.errstate(all="ignore")
def forward(x: F32, y: F32) -> None:
    """Write the function of x into y (any shape)."""
    y[...] = 0.5 * x * (1 + np.tanh(SCALE * (x + CUBE * x**3)))


@np.errstate(all="ignore")
def backward(x: F32, dy: F32, dx: F32) -> None:
    """Write dy times the slope at x into dx (any shape)."""
    t = np.tanh(SCALE * (x + CUBE * x**3))
    inner = SCALE * (1 + 3 * CUBE * x * x)
    dx[...] = dy * (0.5 * (1 + t) + np.where(np.abs(t) < 1, 0.5 * x * (1 - t * t) * inner, 0))
