"""Updates of parameters by a solver's rule (`kernels/_update_rules.py` tells what a rule is)."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from .._update_rules import Rule, gradient

F32 = NDArray[np.float32]
F = np.float32


def apply(
    rule: Rule,
    data: F32,
    diff: F32,
    history: Sequence[F32],
    numbers: Sequence[float],
    rate: float,
    clip: float,
    normalizer: float,
    decay: float,
    l1: bool,
) -> None:
    """Update weights (data) and history; diff enters as the gradient and leaves as the update.

    All arrays are flat and equally long. The gradient is clipped, normalised and regularised first.
    """
    g = gradient(diff, data, F(clip), F(normalizer), F(decay), l1)
    diff[...], *after = rule(data, g, F(rate), *history, *map(F, numbers))
    for array, values in zip(history, after, strict=True):
        array[...] = values
    data -= diff
