"""What every update rule does first: from the accumulated diff to the gradient it follows."""

import numpy as np

from ._compile.jit import inner


@inner(strict=True)
def regularized(
    g: np.float32,
    w: np.float32,
    clip: np.float32,
    normalizer: np.float32,
    decay: np.float32,
    l1: bool,
) -> np.float32:
    """g clip normalizer + decay w; with `l1` the sign of w takes its place."""
    scaled = g * clip * normalizer
    if decay == 0:
        return scaled
    return scaled + decay * (np.sign(w) if l1 else w)
