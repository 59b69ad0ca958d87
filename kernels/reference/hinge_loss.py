"""HingeLoss: margins m = max(0, 1 - s x), s = 1 at the label and -1 elsewhere; 0 for NaN."""

import numpy as np
from numpy.typing import NDArray

from .._means import write_mean
from ._labels import read_labels

F32 = NDArray[np.float32]
I32 = NDArray[np.int32]


@np.errstate(all="ignore")
def forward(x: F32, label: F32, margins: F32, loss: F32, found: I32, squared: bool) -> None:
    """Write the margins of the scores x (samples, classes).

    Writes the sum of their values or squares, divided by the samples, into loss (1), and into
    found (2) the flat index of the first bad label or -1, and the divisor (at least 1).
    """
    number, _, bad = read_labels(label, x.shape[1], None)
    margins[...] = np.fmax(0, 1 - _signs(number, x.shape[1]) * x)
    terms = np.square(margins, dtype=np.float64) if squared else margins
    write_mean(float(terms.sum(dtype=np.float64)), x.shape[0], bad, 0, loss, found)


@np.errstate(all="ignore")
def backward(margins: F32, label: F32, dx: F32, scale: float, squared: bool) -> None:
    """Write -scale s [m > 0], or -2 scale s m when squared, into dx."""
    number, _, _ = read_labels(label, dx.shape[1], None)
    slope = 2 * margins if squared else np.sign(margins)
    dx[...] = -np.float32(scale) * _signs(number, dx.shape[1]) * slope


def _signs(number: NDArray[np.int64], classes: int) -> F32:
    return np.where(np.arange(classes) == number[:, None], np.float32(1), np.float32(-1))
