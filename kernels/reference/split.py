"""Split: the gradients of several readers, summed from the first to the last."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

F32 = NDArray[np.float32]


def backward(dys: Sequence[F32], dx: F32) -> None:
    """Write the sum of the arrays `dys` into dx (all of one shape; dx may be the first)."""
    dx[...] = dys[0]
    for dy in dys[1:]:
        dx += dy
