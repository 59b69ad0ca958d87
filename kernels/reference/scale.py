"""Scale and bias: y = scale x + bias, one pair a channel.

Arrays are (outer, S, inner), scale and bias (S).
"""

import numpy as np
from numpy.typing import NDArray

F32 = NDArray[np.float32]


@np.errstate(all="ignore")
def forward(x: F32, scale: F32 | None, bias: F32 | None, y: F32) -> None:
    """Write scale x + bias into y (y may be x); without scale it is 1, without bias 0."""
    y[...] = x if scale is None else x * scale[:, None]
    if bias is not None:
        y += bias[:, None]


@np.errstate(all="ignore")
def gradient(x: F32 | None, dy: F32, total: F32, accumulate: bool) -> None:
    """Sum dy x (scale's gradient), or dy (bias's, without x), into total (S), or add it there."""
    if not accumulate:
        total[...] = 0
    total += (dy if x is None else dy * x).sum((0, 2))
