"""Cross-entropy of probabilities (outer, classes, inner) and labels (outer, inner).

Forward a thread takes labels, of which it reads one probability each; backward a thread writes an
element of the gradient. Both divide by found[1] where it is: on the device.
"""

from typing import Any

import numpy as np

from ._array import DeviceArray
from ._compile.jit import inner, kernel
from ._compile.words import F32, I32, grid
from ._labels import NO_LABEL, OUTSIDE, class_of, ignored_label
from ._means import NONE, write_mean
from ._scalar import log
from .softmax import forward as softmax


def forward(
    prob: DeviceArray,
    label: DeviceArray,
    losses: DeviceArray,
    loss: DeviceArray,
    found: DeviceArray,
    smallest: float,
    divisor: int,
    ignore: int | None,
) -> None:
    """Write -log max(p, smallest) of each label into losses (outer, inner), 0 where ignored.

    Writes into loss (1) their sum, divided by `divisor` or, if that is 0, by the number of labels
    that count (at least 1); into found (2) the flat index of the first bad label or -1, and what
    the sum was divided by.
    """
    args = (prob, label.reshape(-1), losses.reshape(-1), float(smallest), ignored_label(ignore))
    write_mean(_loss, label.size, args, divisor, loss, found)


def forward_scores(
    x: DeviceArray,
    label: DeviceArray,
    prob: DeviceArray,
    losses: DeviceArray,
    loss: DeviceArray,
    found: DeviceArray,
    smallest: float,
    divisor: int,
    ignore: int | None,
) -> None:
    """The same from scores: write their softmax into prob, and the losses."""
    softmax(x, prob)
    forward(prob, label, losses, loss, found, smallest, divisor, ignore)


def backward_scores(
    prob: DeviceArray,
    label: DeviceArray,
    dx: DeviceArray,
    scale: float,
    found: DeviceArray,
    ignore: int | None,
) -> None:
    """Through a softmax: write scale / found[1] (prob - one-hot label) into dx, 0 where ignored."""
    _backward_scores.over(dx.size)(
        prob.reshape(-1), label.reshape(-1), dx.reshape(-1), *dx.shape[1:],
        float(scale), found, ignored_label(ignore),
    )  # fmt: skip


def backward_prob(
    prob: DeviceArray, label: DeviceArray, dx: DeviceArray, scale: float, smallest: float
) -> None:
    """Write -scale / max(p, smallest) at each label into dx, 0 elsewhere."""
    _backward_prob.over(dx.size)(
        prob.reshape(-1), label.reshape(-1), dx.reshape(-1), *dx.shape[1:],
        float(scale), float(smallest),
    )  # fmt: skip


@inner
def _loss(i: int, args: Any) -> Any:
    prob, label, losses, smallest, ignore = args
    _, classes, width = prob.shape
    number = class_of(label[i], classes, ignore)
    value = np.float32(0)
    if number >= 0:
        value = -log(np.maximum(prob[i // width, number, i % width], smallest))
    losses[i] = value
    return value, 1 if number >= 0 else 0, i if number == OUTSIDE else NONE


@kernel
def _backward_scores(
    prob: F32, label: F32, dx: F32, classes: int, width: int, scale: float, found: I32, ignore: int
) -> None:
    i = grid()
    if i < dx.size:
        row = i // width
        number = class_of(label[row // classes * width + i % width], classes, ignore)
        factor = scale / np.float32(found[1])
        chosen = 1.0 if number == row % classes else 0.0
        dx[i] = factor * (prob[i] - chosen) if number >= 0 else 0.0


@kernel
def _backward_prob(
    prob: F32, label: F32, dx: F32, classes: int, width: int, scale: float, smallest: float
) -> None:
    i = grid()
    if i < dx.size:
        row = i // width
        number = class_of(label[row // classes * width + i % width], classes, NO_LABEL)
        dx[i] = -scale / np.maximum(prob[i], smallest) if number == row % classes else 0.0
