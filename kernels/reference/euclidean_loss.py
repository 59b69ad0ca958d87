"""EuclideanLoss: differences and the sum of their squares."""

import numpy as np
from numpy.typing import NDArray

F32 = NDArray[np.float32]


@np.errstate(all="ignore")
def forward(a: F32, b: F32, difference: F32, loss: F32, divisor: int) -> None:
    """Write a - b into difference (flat), and the sum of its squares / divisor into loss (1)."""
    difference[...] = a - b
    loss[0] = np.square(difference, dtype=np.float64).sum() / divisor


@np.errstate(all="ignore")
def backward(difference: F32, dx: F32, scale: float) -> None:
    """Write scale * difference into dx (flat)."""
    dx[...] = np.float32(scale) * difference
