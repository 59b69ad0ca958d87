"""Batch normalisation: every channel to mean 0 and variance 1.

Arrays are (N, C, inner), those of a channel (C); m = N * inner values a channel. Means and squares
are the sums of `_sums.py`, the rest is a thread an element: forward reads x three times and writes
two arrays, 20 bytes an element; backward reads dy and the normalised x twice, 20 bytes as well.
"""

from functools import cache

import numpy as np

from . import memory
from ._array import DeviceArray
from ._compile.jit import Kernel, kernel
from ._compile.words import F32, grid
from ._sums import channel_means, squared_distance, value, value_and_product

__all__ = ["accumulate", "averages", "backward", "forward_batch", "forward_given"]


def forward_batch(
    x: DeviceArray, mean: DeviceArray, variance: DeviceArray, eps: float, x_norm: DeviceArray,
    y: DeviceArray,
) -> None:  # fmt: skip
    """Write x's mean and biased variance, and x normalised by them into x_norm and y."""
    channel_means(value, (x,), mean)
    channel_means(squared_distance, (x, mean), variance)
    _normalise(True).over(y.size)(
        x.reshape(-1), mean, variance, float(eps), x_norm.reshape(-1), y.reshape(-1), y.shape[2]
    )


def forward_given(
    x: DeviceArray, mean: DeviceArray, variance: DeviceArray, eps: float, y: DeviceArray
) -> None:
    """Write (x - mean) / sqrt(variance + eps) into y (y may be x)."""
    flat = y.reshape(-1)
    _normalise(False).over(y.size)(
        x.reshape(-1), mean, variance, float(eps), flat, flat, y.shape[2]
    )


def backward(
    x_norm: DeviceArray | None, dy: DeviceArray, variance: DeviceArray, eps: float, dx: DeviceArray
) -> None:
    """Write the gradient into dx (dx may be dy).

    With x_norm, mean and variance depended on x; without, they were given.
    """
    flat, pixels = dx.reshape(-1), dx.shape[2]
    if x_norm is None:
        _divide.over(dx.size)(dy.reshape(-1), variance, float(eps), flat, pixels)
        return
    means = memory.scratch(dx, 2 * variance.size).reshape(2, variance.size)
    channel_means(value_and_product, (dy, x_norm), means, count=2)
    _backward.over(dx.size)(
        x_norm.reshape(-1), dy.reshape(-1), means, variance, float(eps), flat, pixels
    )


def accumulate(
    mean: DeviceArray, variance: DeviceArray, fraction: float, m: int, mean_sum: DeviceArray,
    variance_sum: DeviceArray, weight: DeviceArray,
) -> None:  # fmt: skip
    """Add a batch's mean and unbiased variance to the sums, whose former weight is multiplied
    by `fraction`; weight (1) is what the sums are to be divided by."""
    unbiased = m / (m - 1) if m > 1 else 1.0
    _accumulate.over(max(1, mean.size))(
        mean, variance, float(fraction), unbiased, mean_sum, variance_sum, weight
    )


def averages(
    mean_sum: DeviceArray, variance_sum: DeviceArray, weight: DeviceArray, mean: DeviceArray,
    variance: DeviceArray,
) -> None:  # fmt: skip
    """Divide the sums by their weight, into mean and variance; no weight gives 0."""
    _averages.over(mean.size)(mean_sum, variance_sum, weight, mean, variance)


@cache
def _normalise(keeps: bool) -> Kernel:
    @kernel
    def normalise(
        x: F32, mean: F32, variance: F32, eps: float, x_norm: F32, y: F32, pixels: int
    ) -> None:
        i = grid()
        if i < y.size:
            c = i // pixels % mean.size
            normal = (x[i] - mean[c]) / np.sqrt(variance[c] + eps)
            y[i] = normal
            if keeps:
                x_norm[i] = normal

    return normalise


@kernel
def _divide(dy: F32, variance: F32, eps: float, dx: F32, pixels: int) -> None:
    i = grid()
    if i < dx.size:
        dx[i] = dy[i] / np.sqrt(variance[i // pixels % variance.size] + eps)


@kernel
def _backward(
    x_norm: F32, dy: F32, means: F32, variance: F32, eps: float, dx: F32, pixels: int
) -> None:
    """means (2, C): of dy, and of dy x_norm."""
    i = grid()
    if i < dx.size:
        c = i // pixels % variance.size
        centred = dy[i] - means[0, c] - x_norm[i] * means[1, c]
        dx[i] = centred / np.sqrt(variance[c] + eps)


@kernel
def _accumulate(
    mean: F32,
    variance: F32,
    fraction: float,
    unbiased: float,
    mean_sum: F32,
    variance_sum: F32,
    weight: F32,
) -> None:
    i = grid()
    if i == 0:
        weight[0] = fraction * weight[0] + 1.0
    if i < mean.size:
        mean_sum[i] = fraction * mean_sum[i] + mean[i]
        variance_sum[i] = fraction * variance_sum[i] + unbiased * variance[i]


@kernel
def _averages(mean_sum: F32, variance_sum: F32, weight: F32, mean: F32, variance: F32) -> None:
    i = grid()
    if i < mean.size:
        factor = 0.0 if weight[0] == 0 else 1.0 / weight[0]
        mean[i] = mean_sum[i] * factor
        variance[i] = variance_sum[i] * factor
