"""Batch normalisation: every channel to mean 0 and variance 1.

Arrays are (N, C, inner), those of a channel (C); m = N * inner values a channel.
"""

import numpy as np
from numpy.typing import NDArray

F32 = NDArray[np.float32]


def forward_batch(x: F32, mean: F32, variance: F32, eps: float, x_norm: F32, y: F32) -> None:
    """Write x's mean and biased variance, and x normalised by them into x_norm and y."""
    mean[...] = x.mean((0, 2))
    variance[...] = ((x - mean[:, None]) ** 2).mean((0, 2))
    forward_given(x, mean, variance, eps, x_norm)
    y[...] = x_norm


def forward_given(x: F32, mean: F32, variance: F32, eps: float, y: F32) -> None:
    """Write (x - mean) / sqrt(variance + eps) into y (y may be x)."""
    y[...] = (x - mean[:, None]) / np.sqrt(variance + np.float32(eps))[:, None]


def backward(x_norm: F32 | None, dy: F32, variance: F32, eps: float, dx: F32) -> None:
    """Write the gradient into dx (dx may be dy).

    With x_norm, mean and variance depended on x; without, they were given.
    """
    centred = dy
    if x_norm is not None:
        both = x_norm * (dy * x_norm).mean((0, 2))[:, None]
        centred = dy - dy.mean((0, 2))[:, None] - both
    dx[...] = centred / np.sqrt(variance + np.float32(eps))[:, None]


def accumulate(
    mean: F32, variance: F32, fraction: float, m: int, mean_sum: F32, variance_sum: F32, weight: F32
) -> None:
    """Add a batch's mean and unbiased variance to the sums, whose former weight is multiplied
    by `fraction`; weight (1) is what the sums are to be divided by."""
    for total, value, factor in (
        (weight, np.float32(1), 1.0),
        (mean_sum, mean, 1.0),
        (variance_sum, variance, m / (m - 1) if m > 1 else 1.0),
    ):
        total *= np.float32(fraction)
        total += np.float32(factor) * value


def averages(mean_sum: F32, variance_sum: F32, weight: F32, mean: F32, variance: F32) -> None:
    """Divide the sums by their weight, into mean and variance; no weight gives 0."""
    factor = np.float32(0) if weight[0] == 0 else 1 / weight[0]
    np.multiply(mean_sum, factor, out=mean)
    np.multiply(variance_sum, factor, out=variance)
