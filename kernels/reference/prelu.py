"""PReLU: y = x where x > 0, slope * x elsewhere, one slope a channel.

Arrays are (N, C, inner), slopes (C).
"""

import numpy as np
from numpy.typing import NDArray

F32 = NDArray[np.float32]


@np.errstate(all="ignore")
def forward(x: F32, slope: F32, y: F32) -> None:
    """Write the rectified x into y (y may be x)."""
    y[...] = np.where(x > 0, x, slope[:, None] * x)


@np.errstate(all="ignore")
def backward_slope(x: F32, dy: F32, dslope: F32) -> None:
    """Add dy x, summed where x <= 0, to dslope."""
    dslope += (dy * np.minimum(x, 0)).sum((0, 2))


@np.errstate(all="ignore")
def backward_data(x: F32, slope: F32, dy: F32, dx: F32) -> None:
    """Write dy, times the slope where x <= 0, into dx (dx may be dy)."""
    dx[...] = np.where(x > 0, dy, slope[:, None] * dy)
