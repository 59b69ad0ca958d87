"""What all update rules share, written once for all devices: the gradient that a rule follows.

A rule is a function of single numbers, which a solver brings along (`Solver.rule`):

    rule(w, g, rate, *history, *numbers) -> (step, *history)

The module `update` of each device makes of it what changes whole arrays: NumPy's devices call it
with arrays in place of the single numbers, the others compile it. All is float32, also the numbers
that are written in a rule.
"""

from collections.abc import Callable
from typing import Any

import numpy as np

Real = Any  # a float32, or an array of them
Rule = Callable[..., tuple[Real, ...]]


def gradient(g: Real, w: Real, clip: Real, normalizer: Real, decay: Real, l1: bool) -> Real:
    """g clip normalizer + decay w; with `l1` the sign of w takes its place."""
    scaled = g * clip * normalizer
    if decay == 0:
        return scaled
    return scaled + decay * (np.sign(w) if l1 else w)
