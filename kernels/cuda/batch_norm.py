"""Batch normalisation: every channel to mean 0 and variance 1.

Arrays are (N, C, inner), those of a channel (C); m = N * inner values a channel. Means and squares
are the sums of `_sums.py`, the rest are formulas of `_elements.py`: forward reads x three times and
writes two arrays, 20 bytes an element; backward reads dy and the normalised x twice, 20 as well.
"""

from typing import Any

import numpy as np

from . import memory
from ._array import DeviceArray
from ._compile.jit import inner, kernel
from ._compile.words import F32, grid
from ._elements import each
from ._sums import channel_means, squared_distance, value, value_and_product

__all__ = ["accumulate", "averages", "backward", "forward_batch", "forward_given"]


def forward_batch(
    x: DeviceArray, mean: DeviceArray, variance: DeviceArray, eps: float, x_norm: DeviceArray,
    y: DeviceArray,
) -> None:  # fmt: skip
    """Write x's mean and biased variance, and x normalised by them into x_norm and y."""
    channel_means(value, (x,), mean)
    channel_means(squared_distance, (x, mean), variance)
    each(_normal, (mean, variance, float(eps)), y, x, also=x_norm)


def forward_given(
    x: DeviceArray, mean: DeviceArray, variance: DeviceArray, eps: float, y: DeviceArray
) -> None:
    """Write (x - mean) / sqrt(variance + eps) into y (y may be x)."""
    each(_normal, (mean, variance, float(eps)), y, x)


def backward(
    x_norm: DeviceArray | None, dy: DeviceArray, variance: DeviceArray, eps: float, dx: DeviceArray
) -> None:
    """Write the gradient into dx (dx may be dy).

    With x_norm, mean and variance depended on x; without, they were given.
    """
    if x_norm is None:
        each(_divided, (variance, float(eps)), dx, dy)
        return
    means = memory.scratch(dx, 2 * variance.size).reshape(2, variance.size)
    channel_means(value_and_product, (dy, x_norm), means, count=2)
    each(_gradient, (means, variance, float(eps)), dx, dy, x_norm)


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


@inner
def _normal(x: float, none: float, c: int, args: Any) -> Any:
    mean, variance, eps = args
    return (x - mean[c]) / np.sqrt(variance[c] + eps)


@inner
def _divided(dy: float, none: float, c: int, args: Any) -> Any:
    variance, eps = args
    return dy / np.sqrt(variance[c] + eps)


@inner
def _gradient(dy: float, x_norm: float, c: int, args: Any) -> Any:
    """means (2, C): of dy, and of dy x_norm."""
    means, variance, eps = args
    return (dy - means[0, c] - x_norm * means[1, c]) / np.sqrt(variance[c] + eps)


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
