"""Norms of flat arrays: the length of the gradient, by which it is clipped."""

import numpy as np
from numpy.typing import NDArray

F32 = NDArray[np.float32]


def sum_of_squares(x: F32) -> float:
    """The sum of x^2, taken in float64."""
    wide = x.astype(np.float64)
    return float(np.sum(wide * wide))
