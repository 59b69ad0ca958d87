"""Adam: the step is a running mean of the gradient over the root of one of its square.

    m = beta1 m + (1 - beta1) g
    v = beta2 v + (1 - beta2) g^2
    w -= rate m / (sqrt(v) + delta)

The correction of the bias of both means, sqrt(1 - beta2^t) / (1 - beta1^t), is part of the rate.
"""

import numpy as np
from numpy.typing import NDArray

from ._gradient import regularize

F32 = NDArray[np.float32]


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
    regularize(diff, data, clip, normalizer, decay, l1)
    first[...] = beta1 * first + (1 - beta1) * diff
    second[...] = beta2 * second + (1 - beta2) * (diff * diff)
    diff[...] = rate * (first / (np.sqrt(second) + delta))
    data -= diff
