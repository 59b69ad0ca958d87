"""Cross-entropy of probabilities (outer, classes, inner) and labels (outer, inner)."""

import numpy as np
from numpy.typing import NDArray

from .._means import write_mean
from ._labels import at_labels, read_labels
from .softmax import forward as softmax

F32 = NDArray[np.float32]
I32 = NDArray[np.int32]


def forward(
    prob: F32,
    label: F32,
    losses: F32,
    loss: F32,
    found: I32,
    smallest: float,
    divisor: int,
    ignore: int | None,
) -> None:
    """Write -log max(p, smallest) of each label into losses (outer, inner), 0 where ignored.

    Writes into loss (1) their sum, divided by `divisor` or, if that is 0, by the number of labels
    that count (at least 1); into found (2) the flat index of the first bad label or -1, and what
    the sum was divided by.
    """
    number, valid, bad = read_labels(label, prob.shape[1], ignore)
    likelihood = at_labels(prob, number)[:, 0, :]
    losses[...] = np.where(valid, -np.log(np.maximum(likelihood, np.float32(smallest))), 0)
    write_mean(float(losses.sum(dtype=np.float64)), int(valid.sum()), bad, divisor, loss, found)


def forward_scores(
    x: F32,
    label: F32,
    prob: F32,
    losses: F32,
    loss: F32,
    found: I32,
    smallest: float,
    divisor: int,
    ignore: int | None,
) -> None:
    """The same from scores: write their softmax into prob, and the losses."""
    softmax(x, prob)
    forward(prob, label, losses, loss, found, smallest, divisor, ignore)


def backward_scores(
    prob: F32, label: F32, dx: F32, scale: float, found: I32, ignore: int | None
) -> None:
    """Through a softmax: write scale / found[1] (prob - one-hot label) into dx, 0 where ignored."""
    number, valid, _ = read_labels(label, prob.shape[1], ignore)
    one_hot = np.arange(prob.shape[1])[:, None] == number[:, None, :]
    factor = np.float32(scale / found.item(1))
    dx[...] = np.where(valid[:, None, :], factor * (prob - one_hot), 0)


def backward_prob(prob: F32, label: F32, dx: F32, scale: float, smallest: float) -> None:
    """Write -scale / max(p, smallest) at each label into dx, 0 elsewhere."""
    number, _, _ = read_labels(label, prob.shape[1], None)
    one_hot = np.arange(prob.shape[1])[:, None] == number[:, None, :]
    dx[...] = np.where(one_hot, -np.float32(scale) / np.maximum(prob, np.float32(smallest)), 0)
