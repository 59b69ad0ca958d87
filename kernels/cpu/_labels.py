"""Float labels as class numbers, for the losses and Accuracy."""

import numpy as np
from numba import prange
from numpy.typing import NDArray

from ._compile.jit import inner, kernel

F32 = NDArray[np.float32]
F64 = NDArray[np.float64]
I64 = NDArray[np.int64]

IGNORED = -1
OUTSIDE = -2

BLOCK = 4096  # a partial sum for each: the total does not depend on the number of threads
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


def tally(values: F32, label: F32, classes: int, ignore: int) -> tuple[float, int, int]:
    """(Sum of the values whose label counts, how many count, first bad index or -1); flat arrays.

    After a bad label the sum and the count mean nothing.
    """
    blocks = (label.size + BLOCK - 1) // BLOCK
    sums, counts = np.empty(blocks), np.empty(blocks, np.int64)
    bad = np.empty(blocks, np.int64)
    _tally(values, label, classes, ignore, sums, counts, bad)
    found = bad[bad >= 0]
    return float(sums.sum()), int(counts.sum()), int(found[0]) if found.size else -1


@kernel
def _tally(
    values: F32, label: F32, classes: int, ignore: int, sums: F64, counts: I64, bad: I64
) -> None:
    for block in prange(sums.size):
        total = 0.0
        valid = 0
        bad[block] = -1
        for i in range(block * BLOCK, min(label.size, (block + 1) * BLOCK)):
            number = class_of(label[i], classes, ignore)
            if number >= 0:
                total += np.float64(values[i])
                valid += 1
            elif number == OUTSIDE and bad[block] < 0:
                bad[block] = i
        sums[block] = total
        counts[block] = valid
