"""RMSProp: h = rms_decay h + (1 - rms_decay) g^2, w -= rate g / (sqrt(h) + delta)."""

import numpy as np
from numpy.typing import NDArray

from ._gradient import regularize

F32 = NDArray[np.float32]


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
    regularize(diff, data, clip, normalizer, decay, l1)
    history[...] = rms_decay * history + (1 - rms_decay) * (diff * diff)
    diff[...] = rate * (diff / (np.sqrt(history) + delta))
    data -= diff
