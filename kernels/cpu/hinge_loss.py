"""HingeLoss: margins m = max(0, 1 - s x), s = 1 at the label and -1 elsewhere."""

import numpy as np
from numba import prange
from numpy.typing import NDArray

from .._means import write_mean
from ._compile.jit import kernel
from ._labels import class_of, ignored_label

F32 = NDArray[np.float32]
I32 = NDArray[np.int32]
F64 = NDArray[np.float64]

NO_LABEL = ignored_label(None)


def forward(x: F32, label: F32, margins: F32, loss: F32, found: I32, squared: bool) -> None:
    """Write the margins of the scores x (samples, classes).

    Writes the sum of their values or squares, divided by the samples, into loss (1), and into
    found (2) the flat index of the first bad label or -1, and the divisor (at least 1).
    """
    sums = np.empty(x.shape[0])
    _forward(x, label, margins, sums, squared)
    bad = np.flatnonzero(sums < 0)
    first = int(bad[0]) if bad.size else -1
    write_mean(float(sums.sum()), x.shape[0], first, 0, loss, found)


def backward(margins: F32, label: F32, dx: F32, scale: float, squared: bool) -> None:
    """Write -scale s [m > 0], or -2 scale s m when squared, into dx."""
    _backward(margins, label, dx, np.float32(scale), squared)


@kernel
def _forward(x: F32, label: F32, margins: F32, sums: F64, squared: bool) -> None:
    for n in prange(x.shape[0]):
        number = class_of(label[n], x.shape[1], NO_LABEL)
        total = 0.0
        for c in range(x.shape[1]):
            value = max(np.float32(0), np.float32(1) + x[n, c])
            if c == number:
                value = max(np.float32(0), np.float32(1) - x[n, c])
            margins[n, c] = value
            total += np.float64(value) * np.float64(value) if squared else np.float64(value)
        sums[n] = total if number >= 0 else -1.0  # no sum of margins is negative


@kernel
def _backward(margins: F32, label: F32, dx: F32, scale: np.float32, squared: bool) -> None:
    for n in prange(margins.shape[0]):
        number = class_of(label[n], margins.shape[1], NO_LABEL)
        for c in range(margins.shape[1]):
            margin = margins[n, c]
            slope = np.float32(2) * margin if squared else np.float32(margin > 0)
            dx[n, c] = -scale * slope if c == number else scale * slope
