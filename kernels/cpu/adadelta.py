"""AdaDelta: the step is the gradient, scaled by the ratio of two running means of squares.

h = momentum h + (1 - momentum) g^2
s = g sqrt((u + delta) / (h + delta))
u = momentum u + (1 - momentum) s^2
w -= rate s
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
    _update(
        data,
        diff,
        gradients,
        updates,
        F(momentum),
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
    gradients: F32,
    updates: F32,
    momentum: np.float32,
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
        h = momentum * gradients[i] + (one - momentum) * (g * g)
        gradients[i] = h
        step = g * np.sqrt((updates[i] + delta) / (h + delta))
        updates[i] = momentum * updates[i] + (one - momentum) * (step * step)
        diff[i] = rate * step
        data[i] -= rate * step
