"""Cross-entropy of probabilities (outer, classes, inner) and labels (outer, inner).

A task gathers the probabilities of its labels in a line, of which it takes the logarithms. Where
inner = 1 it makes the probabilities too, in one kernel: a classifier's last layer is so small that
what counts is how many calls it takes.
"""

import numpy as np
from numba import prange
from numpy.typing import NDArray

from .._means import write_mean
from ._compile.jit import inner, kernel
from ._labels import OUTSIDE, class_of, ignored_label
from ._scalar import log
from .fill import fill
from .softmax import forward as softmax
from .softmax import rows_of_task, softmax_rows

F32 = NDArray[np.float32]
I32 = NDArray[np.int32]
F64 = NDArray[np.float64]

BLOCK = 1024  # labels of a partial sum: the total does not depend on the number of threads


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
    _, classes, width = prob.shape
    parts = np.empty(((label.size + BLOCK - 1) // BLOCK, 3))
    _losses(
        prob.reshape(-1), label.reshape(-1), losses.reshape(-1), classes, width,
        smallest, ignored_label(ignore), parts,
    )  # fmt: skip
    write_mean(*_in_all(parts), divisor, loss, found)


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
    outer, classes, width = x.shape
    if width > 1 or classes == 0:
        softmax(x, prob)
        forward(prob, label, losses, loss, found, smallest, divisor, ignore)
        return
    together = rows_of_task(classes)
    parts = np.empty(((outer + together - 1) // together, 3))
    _rows(x, label, prob, losses, smallest, ignored_label(ignore), parts)
    write_mean(*_in_all(parts), divisor, loss, found)


def _in_all(parts: F64) -> tuple[float, int, int]:
    """What the tasks have found: (sum, how many count, bad label), as one."""
    total, valid, bad = 0.0, 0.0, -1.0
    for block_total, block_valid, block_bad in parts.tolist():
        total, valid = total + block_total, valid + block_valid
        bad = block_bad if bad < 0 else bad
    return total, int(valid), int(bad)


def backward_scores(
    prob: F32, label: F32, dx: F32, scale: float, found: I32, ignore: int | None
) -> None:
    """Through a softmax: write scale / found[1] (prob - one-hot label) into dx, 0 where ignored."""
    factor = np.float32(scale / found.item(1))
    _scale(prob.reshape(-1), factor, dx.reshape(-1))
    _subtract_one_hot(label, factor, dx, ignored_label(ignore))


def backward_prob(prob: F32, label: F32, dx: F32, scale: float, smallest: float) -> None:
    """Write -scale / max(p, smallest) at each label into dx, 0 elsewhere."""
    fill(dx, 0)
    _fill_labels(prob, label, np.float32(scale), np.float32(smallest), dx, ignored_label(None))


@inner
def _add_losses(
    start: int, prob: F32, label: F32, classes: int, width: int, smallest: float, ignore: int,
    mine: F32, found: F64,
) -> None:  # fmt: skip
    """Write the losses of the labels from `start` on into `mine`, and what a task finds."""
    least = np.float32(smallest)
    valid, bad = 0, -1
    for i in range(mine.size):
        at = start + i
        number = class_of(label[at], classes, ignore)
        mine[i] = np.float32(1)
        if number >= 0:
            valid += 1
            position = (at // width * classes + number) * width + at % width
            mine[i] = max(prob[position], least)
        elif number == OUTSIDE and bad < 0:
            bad = at
    total = np.float32(0)
    for i in range(mine.size):
        loss = -log(mine[i])
        mine[i] = loss
        total += loss
    found[0], found[1], found[2] = total, valid, bad


@kernel
def _losses(
    prob: F32, label: F32, losses: F32, classes: int, width: int, smallest: float,
    ignore: int, found: F64,
) -> None:  # fmt: skip
    for block in prange(found.shape[0]):
        start = block * BLOCK
        _add_losses(
            start, prob, label, classes, width, smallest, ignore,
            losses[start : start + BLOCK], found[block],
        )  # fmt: skip


@kernel
def _rows(
    x: F32, label: F32, prob: F32, losses: F32, smallest: float, ignore: int, found: F64
) -> None:
    rows, classes, _ = x.shape
    scores, shares = x.reshape(rows, classes), prob.reshape(rows, classes)
    flat, labels, values = prob.reshape(-1), label.reshape(-1), losses.reshape(-1)
    together = rows_of_task(classes)
    for task in prange(found.shape[0]):
        first, last = task * together, (task + 1) * together
        softmax_rows(scores[first:last], shares[first:last])
        _add_losses(
            first, flat, labels, classes, 1, smallest, ignore, values[first:last], found[task]
        )


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
