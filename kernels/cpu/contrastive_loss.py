"""ContrastiveLoss of pairs (samples, channels); `similar` is not 0 for a similar pair."""

import numpy as np
from numba import prange
from numpy.typing import NDArray

from ._compile.jit import kernel

F32 = NDArray[np.float32]
F64 = NDArray[np.float64]

NEAR = np.float32(1e-4)  # added to a distance by which a gradient is divided


def forward(
    a: F32,
    b: F32,
    similar: F32,
    difference: F32,
    squared: F32,
    loss: F32,
    margin: float,
    legacy: bool,
) -> None:
    """Write a - b, the squared distances, and half the mean of the pairs' losses into loss (1)."""
    losses = np.empty(a.shape[0])
    _forward(a, b, similar, difference, squared, losses, np.float32(margin), legacy)
    loss[0] = losses.sum() / (2 * max(1, a.shape[0]))


def backward(
    difference: F32, squared: F32, similar: F32, dx: F32, scale: float, margin: float, legacy: bool
) -> None:
    """Write scale * difference into dx for similar pairs; for others push, inside the margin."""
    _backward(difference, squared, similar, dx, np.float32(scale), np.float32(margin), legacy)


@kernel
def _forward(
    a: F32, b: F32, similar: F32, difference: F32, squared: F32, losses: F64, margin: np.float32,
    legacy: bool,
) -> None:  # fmt: skip
    for n in prange(a.shape[0]):
        total = np.float32(0)
        for c in range(a.shape[1]):
            difference[n, c] = a[n, c] - b[n, c]
            total += difference[n, c] * difference[n, c]
        squared[n] = total
        if np.trunc(similar[n]) != 0:
            losses[n] = total
        elif legacy:
            losses[n] = max(np.float32(0), margin - total)
        else:
            gap = max(np.float32(0), margin - np.sqrt(total))
            losses[n] = gap * gap


@kernel
def _backward(
    difference: F32, squared: F32, similar: F32, dx: F32, scale: np.float32, margin: np.float32,
    legacy: bool,
) -> None:  # fmt: skip
    for n in prange(dx.shape[0]):
        distance = np.sqrt(squared[n])
        gap = margin - (squared[n] if legacy else distance)
        factor = np.float32(0)
        if np.trunc(similar[n]) != 0:
            factor = scale
        elif gap > 0:
            factor = -scale if legacy else -scale * gap / (distance + NEAR)
        for c in range(dx.shape[1]):
            dx[n, c] = factor * difference[n, c]
