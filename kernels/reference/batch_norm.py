"""Batch normalisation: every channel to mean 0 and variance 1.

Arrays are (N, C, inner), those of a channel (C); m = N * inner values a channel.
"""

import numpy as np
from numpy.typing import NDArray

from .._averages import accumulate, averages

__all__ = ["accumulate", "averages", "backward", "forward_batch", "forward_given"]

F32 = NDArray[np.float32]


@np.errstate(all="ignore")
def forward_batch(x: F32, mean: F32, variance: F32, eps: float, x_norm: F32, y: F32) -> None:
    """Write x's mean and biased variance, and x normalised by them into x_norm and y."""
    mean[...] = x.mean((0, 2))
    variance[...] = ((x - mean[:, None]) ** 2).mean((0, 2))
    forward_given(x, mean, variance, eps, x_norm)
    y[...] = x_norm


@np.errstate(all="ignore")
def forward_given(x: F32, mean: F32, variance: F32, eps: float, y: F32) -> None:
    """Write (x - mean) / sqrt(variance + eps) into y (y may be x)."""
    y[...] = (x - mean[:, None]) / np.sqrt(variance + np.float32(eps))[:, None]


@np.errstate(all="ignore")
def backward(x_norm: F32 | None, dy: F32, variance: F32, eps: float, dx: F32) -> None:
    """Write the gradient into dx (dx may be dy).

    With x_norm, mean and variance depended on x; without, they were given.
    """
    centred = dy
    if x_norm is not None:
        both = x_norm * (dy * x_norm).mean((0, 2))[:, None]
        centred = dy - dy.mean((0, 2))[:, None] - both
    dx[...] = centred / np.sqrt(variance + np.float32(eps))[:, None]
