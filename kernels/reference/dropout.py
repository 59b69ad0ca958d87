"""Dropout: a mask and a factor."""

import numpy as np
from numpy.typing import NDArray

F32 = NDArray[np.float32]


@np.errstate(all="ignore")
def apply(x: F32, mask: F32, y: F32, scale: float) -> None:
    """Write x mask scale into y (any shape; y may be x)."""
    y[...] = x * mask * np.float32(scale)
