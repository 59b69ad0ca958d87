"""Cross-entropy of probabilities (outer, classes, inner) and labels (outer, inner)."""

import numpy as np
from numba import prange
from numpy.typing import NDArray

from ._jit import kernel
from ._labels import class_of, ignored_label, tally
from ._scalar import log
from .fill import fill

F32 = NDArray[np.float32]


def forward(
    prob: F32, label: F32, losses: F32, smallest: float, ignore: int | None
) -> tuple[float, int, int]:
    """Write -log max(p, smallest) of each label into losses (outer, inner), 0 where ignored.

    Returns (their sum, how many labels count, flat index of the first bad label or -1).
    """
    skip = ignored_label(ignore)
    _pick(prob, label, losses, np.float32(smallest), skip)
    _minus_log(losses.reshape(-1))
    return tally(losses.reshape(-1), label.reshape(-1), prob.shape[1], skip)


def backward_scores(prob: F32, label: F32, dx: F32, scale: float, ignore: int | None) -> None:
    """Through a softmax: write scale (prob - one-hot label) into dx, 0 where ignored."""
    _scale(prob.reshape(-1), np.float32(scale), dx.reshape(-1))
    _subtract_one_hot(label, np.float32(scale), dx, ignored_label(ignore))


def backward_prob(prob: F32, label: F32, dx: F32, scale: float, smallest: float) -> None:
    """Write -scale / max(p, smallest) at each label into dx, 0 elsewhere."""
    fill(dx, 0)
    _fill_labels(prob, label, np.float32(scale), np.float32(smallest), dx, ignored_label(None))


@kernel
def _pick(prob: F32, label: F32, losses: F32, smallest: np.float32, ignore: int) -> None:
    outer, classes, inner = prob.shape
    for task in prange(outer * inner):
        n, i = task // inner, task % inner
        number = class_of(label[n, i], classes, ignore)
        losses[n, i] = max(prob[n, number, i], smallest) if number >= 0 else np.float32(1)


@kernel
def _minus_log(x: F32) -> None:
    for i in prange(x.size):
        x[i] = -log(x[i])


@kernel
def _scale(prob: F32, scale: np.float32, dx: F32) -> None:
    for i in prange(prob.size):
        dx[i] = scale * prob[i]


@kernel
def _subtract_one_hot(label: F32, scale: np.float32, dx: F32, ignore: int) -> None:
    outer, classes, inner = dx.shape
    for task in prange(outer * inner):
        n, i = task // inner, task % inner
        number = class_of(label[n, i], classes, ignore)
        if number >= 0:
            dx[n, number, i] -= scale
        else:
            for c in range(classes):
                dx[n, c, i] = 0


@kernel
def _fill_labels(
    prob: F32, label: F32, scale: np.float32, smallest: np.float32, dx: F32, ignore: int
) -> None:
    outer, classes, inner = prob.shape
    for task in prange(outer * inner):
        n, i = task // inner, task % inner
        number = class_of(label[n, i], classes, ignore)
        if number >= 0:
            dx[n, number, i] = -scale / max(prob[n, number, i], smallest)
