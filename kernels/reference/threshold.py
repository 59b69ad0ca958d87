"""Threshold: which elements are above a limit."""

import numpy as np
from numpy.typing import NDArray

F32 = NDArray[np.float32]


def forward(x: F32, y: F32, threshold: float) -> None:
    """Write 1 where x > threshold, 0 elsewhere, into y (any shape; y may be x)."""
    y[...] = x > np.float32(threshold)
