"""What every update rule does first: from the accumulated diff to the gradient it follows."""

import numpy as np
from numpy.typing import NDArray

F32 = NDArray[np.float32]


def regularize(
    diff: F32, data: F32, clip: float, normalizer: float, decay: float, l1: bool
) -> None:
    """diff = diff clip normalizer + decay data; with `l1` the sign of data takes its place."""
    diff *= np.float32(clip)
    diff *= np.float32(normalizer)
    if decay:
        diff += np.float32(decay) * (np.sign(data) if l1 else data)
