"""InfogainLoss of probabilities (outer, classes, inner), labels (outer, inner), matrix H."""

import numpy as np
from numba import prange
from numpy.typing import NDArray

from .._means import write_mean
from ._compile.jit import kernel
from ._labels import class_of, ignored_label, tally
from ._scalar import log

F32 = NDArray[np.float32]
I32 = NDArray[np.int32]

SMALLEST = np.float32(1e-20)  # no probability counts as less


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
    skip = ignored_label(ignore)
    _forward(prob, label, matrix, losses, skip)
    counted = tally(losses.reshape(-1), label.reshape(-1), prob.shape[1], skip)
    write_mean(*counted, divisor, loss, found)


def backward(
    prob: F32, label: F32, matrix: F32, dx: F32, scale: float, found: I32, ignore: int | None
) -> None:
    """Through a softmax: write scale / found[1] (p_c Σ_k H[label, k] - H[label, c]) into dx.

    It is 0 where the label is ignored.
    """
    _backward(prob, label, matrix, dx, np.float32(scale / found.item(1)), ignored_label(ignore))


@kernel
def _forward(prob: F32, label: F32, matrix: F32, losses: F32, ignore: int) -> None:
    outer, classes, inner = prob.shape
    for task in prange(outer * inner):
        n, i = task // inner, task % inner
        number = class_of(label[n, i], classes, ignore)
        total = np.float32(0)
        if number >= 0:
            for c in range(classes):
                total -= matrix[number, c] * log(max(prob[n, c, i], SMALLEST))
        losses[n, i] = total


@kernel
def _backward(prob: F32, label: F32, matrix: F32, dx: F32, scale: np.float32, ignore: int) -> None:
    outer, classes, inner = prob.shape
    for task in prange(outer * inner):
        n, i = task // inner, task % inner
        number = class_of(label[n, i], classes, ignore)
        row_sum = np.float32(0)
        if number >= 0:
            for c in range(classes):
                row_sum += matrix[number, c]
        for c in range(classes):
            slope = np.float32(0)
            if number >= 0:
                slope = scale * (prob[n, c, i] * row_sum - matrix[number, c])
            dx[n, c, i] = slope
