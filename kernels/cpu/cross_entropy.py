"""Cross-entropy of probabilities (outer, classes, inner) and labels (outer, inner)."""

import math

import numpy as np
from numba import prange
from numpy.typing import NDArray

from ._jit import kernel
from ._labels import class_of, ignored_label, tally

F32 = NDArray[np.float32]


def forward(
    prob: F32, label: F32, losses: F32, smallest: float, ignore: int | None
) -> tuple[float, int, int]:
    """Write -log max(p, smallest) of each label into losses (outer, inner), 0 where ignored.

    Returns (their sum, how many labels count, flat index of the first bad label or -1).
    """
    skip = ignored_label(ignore)
    _forward(prob, label, losses, np.float32(smallest), skip)
    return tally(losses.reshape(-1), label.reshape(-1), prob.shape[1], skip)


def backward_scores(prob: F32, label: F32, dx: F32, scale: float, ignore: int | None) -> None:
    """Through a softmax: write scale (prob - one-hot label) into dx, 0 where ignored."""
    _backward_scores(prob, label, dx, np.float32(scale), ignored_label(ignore))


def backward_prob(prob: F32, label: F32, dx: F32, scale: float, smallest: float) -> None:
    """Write -scale / max(p, smallest) at each label into dx, 0 elsewhere."""
    _backward_prob(prob, label, dx, np.float32(scale), np.float32(smallest), ignored_label(None))


@kernel
def _forward(prob: F32, label: F32, losses: F32, smallest: np.float32, ignore: int) -> None:
    outer, classes, inner = prob.shape
    for task in prange(outer * inner):
        n, i = task // inner, task % inner
        number = class_of(label[n, i], classes, ignore)
        losses[n, i] = 0
        if number >= 0:
            losses[n, i] = -math.log(max(prob[n, number, i], smallest))


@kernel
def _backward_scores(prob: F32, label: F32, dx: F32, scale: np.float32, ignore: int) -> None:
    outer, classes, inner = prob.shape
    for task in prange(outer * classes):
        n, c = task // classes, task % classes
        for i in range(inner):
            number = class_of(label[n, i], classes, ignore)
            value = scale * prob[n, c, i]
            if number == c:
                value -= scale
            dx[n, c, i] = value if number >= 0 else np.float32(0)


@kernel
def _backward_prob(
    prob: F32, label: F32, dx: F32, scale: np.float32, smallest: np.float32, ignore: int
) -> None:
    outer, classes, inner = prob.shape
    for task in prange(outer * classes):
        n, c = task // classes, task % classes
        for i in range(inner):
            hit = class_of(label[n, i], classes, ignore) == c
            dx[n, c, i] = -scale / max(prob[n, c, i], smallest) if hit else np.float32(0)
