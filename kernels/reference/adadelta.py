"""AdaDelta: the step is the gradient, scaled by the ratio of two running means of squares.

h = momentum h + (1 - momentum) g^2
s = g sqrt((u + delta) / (h + delta))
u = momentum u + (1 - momentum) s^2
w -= rate s
"""

import numpy as np
from numpy.typing import NDArray

from ._gradient import regularize

F32 = NDArray[np.float32]


def update(
    data: F32,
    diff: F32,
    gradients: F32,
    updates: F32,
    momentum: float,
    delta: float,
    rate: float,
    clip: float,
    normalizer: float,
    decay: float,
    l1: bool,
) -> None:
    """Update w (data), h (gradients) and u (updates); diff enters as g and leaves as rate s.

    All arrays have the same shape; `_gradient.py` tells how the gradient is made of diff.
    """
    regularize(diff, data, clip, normalizer, decay, l1)
    rest = 1 - momentum
    gradients[...] = momentum * gradients + rest * (diff * diff)
    step = diff * np.sqrt((updates + delta) / (gradients + delta))
    updates[...] = momentum * updates + rest * (step * step)
    diff[...] = rate * step
    data -= diff
