"""Resizing arrays, one matrix an axis: bilinear as scikit-image 0.19 does it, which pycaffe uses.

# (H, W, K) -> (h, w, K):  out[:, :, k] = rows (h, H) @ in[:, :, k] @ columns (w, W) transposed
"""

import math
from typing import Any

import numpy as np
from numpy.typing import NDArray

NEAREST, LINEAR = 0, 1
TRUNCATE = 4.0  # standard deviations after which a Gaussian counts as 0

Matrix = NDArray[np.float64]


def resize_planes(
    planes: NDArray[Any], height: int, width: int, order: int, *, centred: bool
) -> Matrix:
    """Planes (H, W, K) resized to (height, width, K); `order` 0 is nearest, 1 linear.

    `centred`: samples are the middles of pixels, outside there are zeros, and an axis that
    shrinks by a factor f is smoothed before by a Gaussian of (f - 1) / 2 pixels (what
    skimage.transform.resize does). Else the corners stay where they are, and nothing is smoothed
    (what scipy.ndimage.zoom does).
    """
    rows = _matrix(planes.shape[0], height, order, centred)
    columns = _matrix(planes.shape[1], width, order, centred)
    resized: Matrix = np.einsum("hH,HWk,wW->hwk", rows, planes, columns, optimize=True)
    return resized


def _matrix(size: int, new: int, order: int, centred: bool) -> Matrix:
    """What makes `new` samples of `size`: (new, size)."""
    if not centred:
        step = (size - 1) / (new - 1) if new > 1 else 0.0
        return _samples(np.arange(new) * step, size, order)
    factor = size / new
    sampled = _samples((np.arange(new) + 0.5) * factor - 0.5, size, order)
    return sampled @ _gaussian(size, (factor - 1) / 2) if factor > 1 else sampled


def _samples(at: NDArray[Any], size: int, order: int) -> Matrix:
    """Samples at these places, between the points 0 to size - 1; points outside are 0."""
    weights: Matrix
    points = np.arange(size)
    if order == NEAREST:
        weights = (np.floor(at + 0.5)[:, np.newaxis] == points).astype(np.float64)
    else:
        weights = np.maximum(1.0 - np.abs(at[:, np.newaxis] - points), 0.0)
    return weights


def _gaussian(size: int, sigma: float) -> Matrix:
    """Convolution with a normal distribution; points outside are 0."""
    radius = math.floor(TRUNCATE * sigma + 0.5)
    distance = np.arange(size)[:, np.newaxis] - np.arange(size)
    bell = np.exp(-0.5 * (np.arange(-radius, radius + 1) / sigma) ** 2)
    weights: Matrix = np.exp(-0.5 * (distance / sigma) ** 2) / bell.sum()
    weights[np.abs(distance) > radius] = 0.0
    return weights
