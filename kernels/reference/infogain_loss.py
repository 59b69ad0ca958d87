"""InfogainLoss of probabilities (outer, classes, inner), labels (outer, inner), matrix H."""

import numpy as np
from numpy.typing import NDArray

from .._means import write_mean
from ._labels import read_labels

F32 = NDArray[np.float32]
I32 = NDArray[np.int32]

SMALLEST = np.float32(1e-20)  # no probability counts as less


@np.errstate(all="ignore")
def forward(
    prob: F32,
    label: F32,
    matrix: F32,
    losses: F32,
    loss: F32,
    found: I32,
    divisor: int,
    ignore: int | None,
) -> None:
    """Write -Σ_c H[label, c] log p_c into losses (outer, inner), 0 where ignored.

    Writes into loss (1) their sum, divided by `divisor` or, if that is 0, by the number of labels
    that count (at least 1); into found (2) the flat index of the first bad label or -1, and what
    the sum was divided by.
    """
    number, valid, bad = read_labels(label, prob.shape[1], ignore)
    gains = np.moveaxis(matrix[number], -1, 1)  # (outer, classes, inner)
    terms = gains * np.log(np.maximum(prob, SMALLEST))
    losses[...] = np.where(valid, -terms.sum(axis=1), 0)
    write_mean(float(losses.sum(dtype=np.float64)), int(valid.sum()), bad, divisor, loss, found)


@np.errstate(all="ignore")
def backward(
    prob: F32, label: F32, matrix: F32, dx: F32, scale: float, found: I32, ignore: int | None
) -> None:
    """Through a softmax: write scale / found[1] (p_c Σ_k H[label, k] - H[label, c]) into dx.

    It is 0 where the label is ignored.
    """
    number, valid, _ = read_labels(label, prob.shape[1], ignore)
    gains = np.moveaxis(matrix[number], -1, 1)
    slope = np.float32(scale / found.item(1)) * (prob * gains.sum(axis=1, keepdims=True) - gains)
    dx[...] = np.where(valid[:, None, :], slope, 0)
