"""Root mean square normalisation of the rows of (rows, D)."""

import numpy as np
from numpy.typing import NDArray

F32 = NDArray[np.float32]


def forward(x: F32, y: F32, root: F32, eps: float) -> None:
    """Write x, divided by its row's root, into y (y may be x).

    root (rows) takes sqrt(mean of x^2 over the row + eps), which backward needs.
    """
    root[...] = np.sqrt((x * x).mean(1) + np.float32(eps))
    np.divide(x, root[:, None], out=y)


def backward(y: F32, dy: F32, root: F32, dx: F32) -> None:
    """Write the gradient into dx (dx may be dy); y and root are what forward gave."""
    along = (dy * y).mean(1, keepdims=True)
    dx[...] = (dy - along * y) / root[:, None]
