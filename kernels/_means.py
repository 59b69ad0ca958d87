"""What the losses end with on host devices: a sum becomes a mean, in arrays of the device."""

import numpy as np
from numpy.typing import NDArray


def write_mean(
    total: float,
    valid: int,
    bad: int,
    divisor: int,
    mean: NDArray[np.float32],
    found: NDArray[np.int32],
) -> None:
    """Write total / n into mean (1), and into found (2) the bad label's index (or -1) and n.

    n is the divisor; if that is 0, how many labels count (`valid`), and at least 1.
    """
    n = divisor or max(1, valid)
    mean[0] = total / n
    found[0] = bad
    found[1] = n
