"""Adam: the step is a running mean of the gradient over the root of one of its square.

    m = beta1 m + (1 - beta1) g
    v = beta2 v + (1 - beta2) g^2
    w -= rate m / (sqrt(v) + delta)

The correction of the bias of both means, sqrt(1 - beta2^t) / (1 - beta1^t), is part of the rate.
"""

import numpy as np
from numba import prange
from numpy.typing import NDArray

from ._compile.jit import kernel
from ._gradient import regularized

F32 = NDArray[np.float32]
F = np.float32


def update(
    data: F32,
    diff: F32,
    first: F32,
    second: F32,
    beta1: float,
    beta2: float,
    delta: float,
    rate: float,
    clip: float,
    normalizer: float,
    decay: float,
    l1: bool,
) -> None:
    """Update w (data), m (first) and v (second); diff enters as g and leaves as the update.

    All arrays have the same shape; `_gradient.py` tells how the gradient is made of diff.
    """
    _update(
        data,
        diff,
        first,
        second,
        F(beta1),
        F(beta2),
        F(delta),
        F(rate),
        F(clip),
        F(normalizer),
        F(decay),
        l1,
    )


@kernel(strict=True)
def _update(
    data: F32,
    diff: F32,
    first: F32,
    second: F32,
    beta1: np.float32,
    beta2: np.float32,
    delta: np.float32,
    rate: np.float32,
    clip: np.float32,
    normalizer: np.float32,
    decay: np.float32,
    l1: bool,
) -> None:
    one = F(1)
    for i in prange(data.size):
        g = regularized(diff[i], data[i], clip, normalizer, decay, l1)
        m = beta1 * first[i] + (one - beta1) * g
        v = beta2 * second[i] + (one - beta2) * (g * g)
        first[i] = m
        second[i] = v
        step = rate * (m / (np.sqrt(v) + delta))
        diff[i] = step
        data[i] -= step
