"""InfogainLoss of probabilities (outer, classes, inner), labels (outer, inner), matrix H."""

import numpy as np
from numpy.typing import NDArray

from ._labels import read_labels

F32 = NDArray[np.float32]

SMALLEST = np.float32(1e-20)  # no probability counts as less


def forward(
    prob: F32, label: F32, matrix: F32, losses: F32, ignore: int | None
) -> tuple[float, int, int]:
    """Write -Σ_c H[label, c] log p_c into losses (outer, inner), 0 where ignored.

    Returns (their sum, how many labels count, flat index of the first bad label or -1).
    """
    number, valid, bad = read_labels(label, prob.shape[1], ignore)
    if bad >= 0:
        return 0.0, 0, bad
    gains = np.moveaxis(matrix[number], -1, 1)  # (outer, classes, inner)
    terms = gains * np.log(np.maximum(prob, SMALLEST))
    losses[...] = np.where(valid, -terms.sum(axis=1), 0)
    return float(losses.sum(dtype=np.float64)), int(valid.sum()), -1


def backward(prob: F32, label: F32, matrix: F32, dx: F32, scale: float, ignore: int | None) -> None:
    """Through a softmax: write scale (p_c Σ_k H[label, k] - H[label, c]) into dx, 0 if ignored."""
    number, valid, _ = read_labels(label, prob.shape[1], ignore)
    gains = np.moveaxis(matrix[number], -1, 1)
    slope = np.float32(scale) * (prob * gains.sum(axis=1, keepdims=True) - gains)
    dx[...] = np.where(valid[:, None, :], slope, 0)
