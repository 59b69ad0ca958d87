"""Mean-variance normalisation of the rows of (rows, D)."""

import numpy as np
from numpy.typing import NDArray

F32 = NDArray[np.float32]


@np.errstate(all="ignore")
def forward(x: F32, y: F32, divisor: F32, eps: float, normalize_variance: bool) -> None:
    """Write x minus its row's mean into y (y may be x), divided by its deviation + eps if asked.

    divisor (rows) takes deviation + eps, which backward needs.
    """
    np.subtract(x, x.mean(1, keepdims=True), out=y)
    if normalize_variance:
        divisor[...] = np.sqrt((y * y).mean(1)) + np.float32(eps)
        y /= divisor[:, None]


@np.errstate(all="ignore")
def backward(y: F32, dy: F32, divisor: F32, dx: F32, normalize_variance: bool) -> None:
    """Write the gradient into dx (dx may be dy); y and divisor are what forward gave."""
    mean_dy = dy.mean(1, keepdims=True)
    if normalize_variance:
        product = y * (dy * y).mean(1, keepdims=True)
        dx[...] = (dy - mean_dy - product) / divisor[:, None]
    else:
        dx[...] = dy - mean_dy
