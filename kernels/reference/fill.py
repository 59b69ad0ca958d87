"""Fill: one value everywhere."""

import numpy as np
from numpy.typing import NDArray

F32 = NDArray[np.float32]


def fill(x: F32, value: float) -> None:
    """Write the value into all of x (any shape)."""
    x[...] = value
