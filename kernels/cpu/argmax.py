"""ArgMax: largest values along the middle axis of (outer, classes, inner), by k passes."""

import numpy as np
from numba import prange
from numpy.typing import NDArray

from ._compile.jit import kernel

F32 = NDArray[np.float32]

LEAST = np.float32(-np.inf)


def forward(x: F32, y: F32, only_values: bool) -> None:
    """Write the k largest into y (outer, planes, k, inner), of equals the larger index first.

    One plane: their indices, or their values with `only_values`. Two planes: indices, values.
    NaN counts as the least.
    """
    _forward(x, y, only_values)


@kernel
def _forward(x: F32, y: F32, only_values: bool) -> None:
    outer, classes, inner = x.shape
    planes = y.shape[1]
    for task in prange(outer * inner):
        n, i = task // inner, task % inner
        last = np.float32(np.inf)  # the pair found before this one, and its index
        last_at = classes
        for k in range(y.shape[2]):
            best = LEAST
            best_at = -1
            for c in range(classes):
                value = x[n, c, i] if x[n, c, i] == x[n, c, i] else LEAST
                if value >= best and (value < last or (value == last and c < last_at)):
                    best = value
                    best_at = c
            last = best
            last_at = best_at
            if not only_values:
                y[n, 0, k, i] = best_at
            if only_values or planes == 2:
                y[n, planes - 1, k, i] = x[n, best_at, i]
