"""Reductions of the rows of x (rows, D) to y (rows): "SUM", "MEAN", "ASUM", "SUMSQ".

MEAN is SUM; the caller has divided the factor.
"""

import numpy as np
from numpy.typing import NDArray

F32 = NDArray[np.float32]


def forward(operation: str, x: F32, y: F32, factor: float) -> None:
    """Write the reduced rows, times factor, into y."""
    if operation == "ASUM":
        x = np.abs(x)
    elif operation == "SUMSQ":
        x = x * x
    np.multiply(x.sum(1), np.float32(factor), out=y)


def backward(operation: str, x: F32, dy: F32, dx: F32, factor: float) -> None:
    """Write the gradient of each row's elements into dx."""
    scaled = (dy * np.float32(factor))[:, None]
    if operation == "ASUM":
        dx[...] = scaled * np.sign(x)
    elif operation == "SUMSQ":
        dx[...] = scaled * 2 * x
    else:
        dx[...] = scaled
