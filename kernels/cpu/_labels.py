"""Float labels as class numbers, for the losses and Accuracy."""

import numpy as np
from numpy.typing import NDArray

from ._jit import inner

F32 = NDArray[np.float32]

IGNORED = -1
OUTSIDE = -2

_NO_LABEL = 1 << 40  # no float32 label is truncated to this


def ignored_label(ignore: int | None) -> int:
    """`ignore` for `class_of`, in which every argument is a number."""
    return _NO_LABEL if ignore is None else ignore


@inner
def class_of(label: np.float32, classes: int, ignore: int) -> int:
    """The label truncated to an integer in 0 .. classes - 1, or IGNORED, or OUTSIDE."""
    if not abs(label) < 2147483648.0:  # too large, or NaN
        return OUTSIDE
    number = int(label)
    if number == ignore:
        return IGNORED
    if number < 0 or number >= classes:
        return OUTSIDE
    return number


@inner
def tally(values: F32, label: F32, classes: int, ignore: int) -> tuple[float, int, int]:
    """(sum of the values whose label counts, how many count, first bad index or -1), flat."""
    total = 0.0
    valid = 0
    for i in range(label.size):
        number = class_of(label[i], classes, ignore)
        if number == OUTSIDE:
            return total, valid, i
        if number >= 0:
            total += np.float64(values[i])
            valid += 1
    return total, valid, -1
