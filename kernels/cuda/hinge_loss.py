"""HingeLoss: margins m = max(0, 1 - s x), s = 1 at the label and -1 elsewhere; 0 for NaN.

A thread for each score, forward (which adds them up in the same pass) and backward.
"""

from typing import Any

import numpy as np

from ._array import DeviceArray
from ._compile.jit import inner, kernel
from ._compile.words import F32, grid
from ._labels import NO_LABEL, class_of
from ._means import NONE, write_mean


def forward(
    x: DeviceArray,
    label: DeviceArray,
    margins: DeviceArray,
    loss: DeviceArray,
    found: DeviceArray,
    squared: bool,
) -> None:
    """Write the margins of the scores x (samples, classes).

    Writes the sum of their values or squares, divided by the samples, into loss (1), and into
    found (2) the flat index of the first bad label or -1, and the divisor (at least 1).
    """
    samples, classes = x.shape
    divisor = max(1, samples)
    if classes == 0:  # there are labels, but no scores
        write_mean(_bad, samples, (label,), divisor, loss, found)
        return
    args = (x.reshape(-1), label, margins.reshape(-1), classes, bool(squared))
    write_mean(_margin, x.size, args, divisor, loss, found)


def backward(
    margins: DeviceArray, label: DeviceArray, dx: DeviceArray, scale: float, squared: bool
) -> None:
    """Write -scale s [m > 0], or -2 scale s m when squared, into dx."""
    _backward.over(dx.size)(
        margins.reshape(-1), label, dx.reshape(-1), dx.shape[1], float(scale), bool(squared)
    )


@inner
def _sign(i: int, label: Any, classes: int) -> Any:
    """s of a score, and the number of its label; a bad one is the first class."""
    number = class_of(label[i // classes], classes, NO_LABEL)
    return 1.0 if max(number, 0) == i % classes else -1.0, number


@inner
def _bad(i: int, args: Any) -> Any:
    return 0.0, 1, i


@inner
def _margin(i: int, args: Any) -> Any:
    x, label, margins, classes, squared = args
    sign, number = _sign(i, label, classes)
    margin = max(0.0, 1.0 - sign * x[i])
    margins[i] = margin
    value = np.float64(margin)
    return value * value if squared else value, 1, NONE if number >= 0 else i // classes


@kernel
def _backward(margins: F32, label: F32, dx: F32, classes: int, scale: float, squared: bool) -> None:
    i = grid()
    if i < dx.size:
        sign, _ = _sign(i, label, classes)
        margin = margins[i]
        slope = 2.0 * margin if squared else (1.0 if margin > 0 else 0.0)
        dx[i] = -scale * sign * slope
