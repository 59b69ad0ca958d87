"""ContrastiveLoss of pairs (samples, channels); `similar` is not 0 for a similar pair."""

import numpy as np
from numpy.typing import NDArray

F32 = NDArray[np.float32]

NEAR = np.float32(1e-4)  # added to a distance by which a gradient is divided


@np.errstate(all="ignore")
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
    difference[...] = a - b
    squared[...] = np.square(difference).sum(axis=1)
    gap = np.maximum(0, np.float32(margin) - (squared if legacy else np.sqrt(squared)))
    losses = np.where(np.trunc(similar) != 0, squared, gap if legacy else np.square(gap))
    loss[0] = losses.sum(dtype=np.float64) / (2 * max(1, a.shape[0]))


@np.errstate(all="ignore")
def backward(
    difference: F32, squared: F32, similar: F32, dx: F32, scale: float, margin: float, legacy: bool
) -> None:
    """Write scale * difference into dx for similar pairs; for others push, inside the margin."""
    distance = np.sqrt(squared)
    gap = np.float32(margin) - (squared if legacy else distance)
    push = np.where(gap > 0, -np.float32(1) if legacy else -gap / (distance + NEAR), 0)
    factor = np.float32(scale) * np.where(np.trunc(similar) != 0, np.float32(1), push)
    dx[...] = factor[:, None] * difference
