"""ReLU: y = max(x, 0) + slope * min(x, 0)."""

import numpy as np
from numpy.typing import NDArray

F32 = NDArray[np.float32]


@np.errstate(all="ignore")
def forward(x: F32, y: F32, slope: float) -> None:
    """Write the rectified x into y (any shape; y may be x)."""
    y[...] = np.maximum(x, 0) + np.float32(slope) * np.minimum(x, 0)


@np.errstate(all="ignore")
def backward(x: F32, dy: F32, dx: F32, slope: float) -> None:
    """Write dy, times the slope where x <= 0, into dx (any shape; dx may be dy)."""
    dx[...] = np.where(x > 0, dy, np.float32(slope) * dy)
