"""Selu: y = l x for x > 0, else l a (exp(x) - 1), l = 1.0507010, a = 1.6732632 (Klambauer 2017)."""

import numpy as np
from numpy.typing import NDArray

F32 = NDArray[np.float32]

ALPHA = np.float32(1.6732632423543772)
LAMBDA = np.float32(1.0507009873554805)


@np.errstate(all="ignore")
def forward(x: F32, y: F32) -> None:
    """Write the function of x into y (any shape)."""
    y[...] = LAMBDA * np.where(x > 0, x, ALPHA * np.expm1(np.minimum(x, 0)))


@np.errstate(all="ignore")
def backward(x: F32, dy: F32, dx: F32) -> None:
    """Write dy times the slope at x into dx (any shape)."""
    dx[...] = dy * LAMBDA * np.where(x > 0, 1, ALPHA * np.exp(np.minimum(x, 0)))
