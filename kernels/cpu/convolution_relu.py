"""Convolution, then ReLU: outputs are rectified while they are in the cache.

    y = max(W * x + bias, 0) + slope min(W * x + bias, 0)

As convolution.py, whose loops do it: each thread rectifies the block of outputs that it has just
finished. ReLU on its own reads and writes y in memory once more, 8 bytes an output.
"""

import numpy as np
from numpy.typing import NDArray

from . import convolution
from .im2col import Extents

F32 = NDArray[np.float32]


def forward(
    x: F32, weight: F32, bias: F32 | None, y: F32, scratch: F32,
    kernel: Extents, stride: Extents, pad: Extents, dilation: Extents, groups: int, slope: float,
) -> None:  # fmt: skip
    """Write the rectified y (N, O, *out) of x (N, C, *spatial) and weight (O, C/G, *kernel)."""
    convolution.forward(x, weight, bias, y, scratch, kernel, stride, pad, dilation, groups, slope)
