"""RMSProp: h = rms_decay h + (1 - rms_decay) g^2, w -= rate g / (sqrt(h) + delta)."""

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
    history: F32,
    rms_decay: float,
    delta: float,
    rate: float,
    clip: float,
    normalizer: float,
    decay: float,
    l1: bool,
) -> None:
    """Update w (data) and h (history); diff enters as the gradient and leaves as the update.

    All arrays have the same shape; `_gradient.py` tells how the gradient is made of diff.
    """
    _update(
        data,
        diff,
        history,
        F(rms_decay),
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
    history: F32,
    rms_decay: np.float32,
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
        h = rms_decay * history[i] + (one - rms_decay) * (g * g)
        history[i] = h
        step = rate * (g / (np.sqrt(h) + delta))
        diff[i] = step
        data[i] -= step
