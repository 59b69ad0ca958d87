"""LRN of images (N, C, H, W): y = x s^-beta, s = k + alpha/size Σ x² over a window.

Across channels a task is a tile of neighbouring pixels of one image, so that the channels of a
window lie in the cache. Within a channel a task is a plane, and the square window is summed along
its rows, then along its columns: 2 size additions a pixel instead of size². With beta = 0.75, what
everyone takes, the power is two square roots.
"""

import math

import numpy as np
from numba import prange
from numpy.typing import NDArray

from ._jit import inner, kernel

F = np.float32
F32 = NDArray[np.float32]

TILE = 256
THREE_QUARTERS = F(0.75)


def across_forward(
    x: F32, scale: F32, y: F32, size: int, alpha: float, beta: float, k: float
) -> None:
    """Write s over windows of `size` channels into scale, and the quotient into y."""
    maps = (*x.shape[:2], x.shape[2] * x.shape[3])
    _across_forward(
        x.reshape(maps), scale.reshape(maps), y.reshape(maps), size, F(alpha / size), F(beta), F(k)
    )


def across_backward(
    x: F32, scale: F32, y: F32, dy: F32, dx: F32, ratio: F32, size: int, alpha: float, beta: float
) -> None:
    """Write the gradient into dx; `ratio` is scratch of x's shape."""
    maps = (*x.shape[:2], x.shape[2] * x.shape[3])
    _across_backward(
        x.reshape(maps), scale.reshape(maps), y.reshape(maps), dy.reshape(maps), dx.reshape(maps),
        ratio.reshape(maps), size, F(2 * beta * alpha / size), F(beta),
    )  # fmt: skip


def within_forward(
    x: F32, scale: F32, y: F32, size: int, alpha: float, beta: float, k: float
) -> None:
    """Write s over windows of size x size pixels into scale, and the quotient into y."""
    _within_forward(x, scale, y, size, F(alpha / size**2), F(beta), F(k))


def within_backward(
    x: F32, scale: F32, y: F32, dy: F32, dx: F32, ratio: F32, size: int, alpha: float, beta: float
) -> None:
    """Write the gradient into dx; `ratio` is scratch of x's shape."""
    _within_backward(x, scale, y, dy, dx, ratio, size, F(2 * beta * alpha / size**2), F(beta))


@inner
def _to_minus_beta(s: F, beta: F) -> F:
    if beta == THREE_QUARTERS:
        root = F(math.sqrt(s))
        return F(1) / (root * F(math.sqrt(root)))
    return F(s**-beta)


@kernel
def _across_forward(x: F32, scale: F32, y: F32, size: int, mean: F, beta: F, k: F) -> None:
    images, channels, pixels = x.shape
    tiles = (pixels + TILE - 1) // TILE
    for task in prange(images * tiles):
        n = task // tiles
        start = task % tiles * TILE
        stop = min(pixels, start + TILE)
        for c in range(channels):
            for i in range(start, stop):
                scale[n, c, i] = 0
            for near in range(max(0, c - size // 2), min(channels, c + size // 2 + 1)):
                for i in range(start, stop):
                    scale[n, c, i] += x[n, near, i] * x[n, near, i]
            for i in range(start, stop):
                scale[n, c, i] = k + mean * scale[n, c, i]
                y[n, c, i] = x[n, c, i] * _to_minus_beta(scale[n, c, i], beta)


@kernel
def _across_backward(
    x: F32, scale: F32, y: F32, dy: F32, dx: F32, ratio: F32, size: int, factor: F,
    beta: F,
) -> None:  # fmt: skip
    images, channels, pixels = x.shape
    tiles = (pixels + TILE - 1) // TILE
    for task in prange(images * tiles):
        n = task // tiles
        start = task % tiles * TILE
        stop = min(pixels, start + TILE)
        for c in range(channels):
            for i in range(start, stop):
                ratio[n, c, i] = dy[n, c, i] * y[n, c, i] / scale[n, c, i]
        total = np.empty(TILE, np.float32)
        for c in range(channels):
            total[:] = 0
            for near in range(max(0, c - size // 2), min(channels, c + size // 2 + 1)):
                for i in range(start, stop):
                    total[i - start] += ratio[n, near, i]
            for i in range(start, stop):
                own = dy[n, c, i] * _to_minus_beta(scale[n, c, i], beta)
                dx[n, c, i] = own - factor * x[n, c, i] * total[i - start]


@inner
def _sum_rows(plane: F32, sums: F32, size: int) -> None:
    height, width = plane.shape
    for h in range(height):
        for w in range(width):
            total = F(0)
            for near in range(max(0, w - size // 2), min(width, w + size // 2 + 1)):
                total += plane[h, near]
            sums[h, w] = total


@inner
def _sum_columns(plane: F32, h: int, sums: F32, size: int) -> None:
    sums[:] = 0
    for near in range(max(0, h - size // 2), min(plane.shape[0], h + size // 2 + 1)):
        for w in range(plane.shape[1]):
            sums[w] += plane[near, w]


@kernel
def _within_forward(x: F32, scale: F32, y: F32, size: int, mean: F, beta: F, k: F) -> None:
    images, channels, height, width = x.shape
    for p in prange(images * channels):
        n, c = p // channels, p % channels
        for h in range(height):
            for w in range(width):
                scale[n, c, h, w] = x[n, c, h, w] * x[n, c, h, w]
        _sum_rows(scale[n, c], y[n, c], size)
        for h in range(height):
            _sum_columns(y[n, c], h, scale[n, c, h], size)
        for h in range(height):
            for w in range(width):
                scale[n, c, h, w] = k + mean * scale[n, c, h, w]
                y[n, c, h, w] = x[n, c, h, w] * _to_minus_beta(scale[n, c, h, w], beta)


@kernel
def _within_backward(
    x: F32, scale: F32, y: F32, dy: F32, dx: F32, ratio: F32, size: int, factor: F,
    beta: F,
) -> None:  # fmt: skip
    images, channels, height, width = x.shape
    for p in prange(images * channels):
        n, c = p // channels, p % channels
        for h in range(height):
            for w in range(width):
                dx[n, c, h, w] = dy[n, c, h, w] * y[n, c, h, w] / scale[n, c, h, w]
        _sum_rows(dx[n, c], ratio[n, c], size)
        for h in range(height):
            _sum_columns(ratio[n, c], h, dx[n, c, h], size)
            for w in range(width):
                own = dy[n, c, h, w] * _to_minus_beta(scale[n, c, h, w], beta)
                dx[n, c, h, w] = own - factor * x[n, c, h, w] * dx[n, c, h, w]
