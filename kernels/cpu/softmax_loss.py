"""Cross-entropy of probabilities (outer, classes, inner) and labels (outer, inner)."""

import math

import numpy as np
from numba import prange
from numpy.typing import NDArray

from ._jit import kernel
from ._labels import class_of, ignored_label, tally

F32 = NDArray[np.float32]

SMALLEST = np.float32(np.finfo(np.float32).tiny)  # no probability counts as less: FLT_MIN


def forward(prob: F32, label: F32, losses: F32, ignore: int | None) -> tuple[float, int, int]:
    """Write -log p of each label into losses (outer, inner), 0 where it is ignored.

    Returns (their sum, how many labels count, flat index of the first bad label or -1).
    """
    skip = ignored_label(ignore)
    _forward(prob, label, losses, skip)
    return tally(losses.reshape(-1), label.reshape(-1), prob.shape[1], skip)


def backward(prob: F32, label: F32, dx: F32, scale: float, ignore: int | None) -> None:
    """Write scale (prob - one-hot label) into dx, 0 where the label is ignored."""
    _backward(prob, label, dx, np.float32(scale), ignored_label(ignore))


@kernel
def _forward(prob: F32, label: F32, losses: F32, ignore: int) -> None:
    outer, classes, inner = prob.shape
    for task in prange(outer * inner):
        n, i = task // inner, task % inner
        number = class_of(label[n, i], classes, ignore)
        loss = np.float32(0)
        if number >= 0:
            loss = -math.log(max(prob[n, number, i], SMALLEST))
        losses[n, i] = loss


@kernel
def _backward(prob: F32, label: F32, dx: F32, scale: np.float32, ignore: int) -> None:
    outer, classes, inner = prob.shape
    for task in prange(outer * classes):
        n, c = task // classes, task % classes
        for i in range(inner):
            number = class_of(label[n, i], classes, ignore)
            value = scale * prob[n, c, i]
            if number == c:
                value -= scale
            dx[n, c, i] = value if number >= 0 else np.float32(0)
