"""The moving averages of batch normalisation, a few numbers a channel, for devices on the host."""

import numpy as np
from numpy.typing import NDArray

F32 = NDArray[np.float32]


def accumulate(
    mean: F32, variance: F32, fraction: float, m: int, mean_sum: F32, variance_sum: F32, weight: F32
) -> None:
    """Add a batch's mean and unbiased variance to the sums, whose former weight is multiplied
    by `fraction`; weight (1) is what the sums are to be divided by."""
    for total, value, factor in (
        (weight, np.float32(1), 1.0),
        (mean_sum, mean, 1.0),
        (variance_sum, variance, m / (m - 1) if m > 1 else 1.0),
    ):
        total *= np.float32(fraction)
        total += np.float32(factor) * value


def averages(mean_sum: F32, variance_sum: F32, weight: F32, mean: F32, variance: F32) -> None:
    """Divide the sums by their weight, into mean and variance; no weight gives 0."""
    factor = np.float32(0) if weight[0] == 0 else 1 / weight[0]
    np.multiply(mean_sum, factor, out=mean)
    np.multiply(variance_sum, factor, out=variance)
