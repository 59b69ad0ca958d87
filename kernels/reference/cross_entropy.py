"""Cross-entropy of probabilities (outer, classes, inner) and labels (outer, inner)."""

import numpy as np
from numpy.typing import NDArray

from ._labels import read_labels
from .softmax import forward as softmax

F32 = NDArray[np.float32]


def forward(
    prob: F32, label: F32, losses: F32, smallest: float, ignore: int | None
) -> tuple[float, int, int]:
    """Write -log max(p, smallest) of each label into losses (outer, inner), 0 where ignored.

    Returns (their sum, how many labels count, flat index of the first bad label or -1).
    """
    number, valid, bad = read_labels(label, prob.shape[1], ignore)
    if bad >= 0:
        return 0.0, 0, bad
    likelihood = np.take_along_axis(prob, number[:, None, :], axis=1)[:, 0, :]
    losses[...] = np.where(valid, -np.log(np.maximum(likelihood, np.float32(smallest))), 0)
    return float(losses.sum(dtype=np.float64)), int(valid.sum()), -1


def forward_scores(
    x: F32, label: F32, prob: F32, losses: F32, smallest: float, ignore: int | None
) -> tuple[float, int, int]:
    """The same from scores: write their softmax into prob, and the losses."""
    softmax(x, prob)
    return forward(prob, label, losses, smallest, ignore)


def backward_scores(prob: F32, label: F32, dx: F32, scale: float, ignore: int | None) -> None:
    """Through a softmax: write scale (prob - one-hot label) into dx, 0 where ignored."""
    number, valid, _ = read_labels(label, prob.shape[1], ignore)
    one_hot = np.arange(prob.shape[1])[:, None] == number[:, None, :]
    dx[...] = np.where(valid[:, None, :], np.float32(scale) * (prob - one_hot), 0)


def backward_prob(prob: F32, label: F32, dx: F32, scale: float, smallest: float) -> None:
    """Write -scale / max(p, smallest) at each label into dx, 0 elsewhere."""
    number, _, _ = read_labels(label, prob.shape[1], None)
    one_hot = np.arange(prob.shape[1])[:, None] == number[:, None, :]
    dx[...] = np.where(one_hot, -np.float32(scale) / np.maximum(prob, np.float32(smallest)), 0)
