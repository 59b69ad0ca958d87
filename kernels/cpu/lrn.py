"""LRN of images (N, C, H, W): y = x s^-beta, s = k + alpha/size Σ x² over a window.

Across channels a task is a tile of neighbouring pixels of one image, so that the channels of a
window lie in the cache. Within a channel a task is a plane, and the square window is summed along
its rows, then along its columns: 2 size additions a pixel instead of size². With beta = 0.75, what
everyone takes, the power is two square roots.
"""

import numpy as np
from numba import prange
from numpy.typing import NDArray

from ._compile.jit import inner, kernel
from ._scalar import exp, log

F = np.float32
F32 = NDArray[np.float32]

TILE = 256
THREE_QUARTERS = F(0.75)
INFINITY = F(np.inf)


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
    planes = (x.shape[0] * x.shape[1], x.shape[2] * x.shape[3])
    _within_forward(
        x.reshape(planes), scale.reshape(planes), y.reshape(planes), max(1, x.shape[3]), size,
        F(alpha / size**2), F(beta), F(k),
    )  # fmt: skip


def within_backward(
    x: F32, scale: F32, y: F32, dy: F32, dx: F32, ratio: F32, size: int, alpha: float, beta: float
) -> None:
    """Write the gradient into dx; `ratio` is scratch of x's shape."""
    planes = (x.shape[0] * x.shape[1], x.shape[2] * x.shape[3])
    _within_backward(
        x.reshape(planes), scale.reshape(planes), y.reshape(planes), dy.reshape(planes),
        dx.reshape(planes), ratio.reshape(planes), max(1, x.shape[3]), size,
        F(2 * beta * alpha / size**2), F(beta),
    )  # fmt: skip


@kernel
def _across_forward(x: F32, scale: F32, y: F32, size: int, mean: F, beta: F, k: F) -> None:
    images, channels, pixels = x.shape
    tiles = (pixels + TILE - 1) // TILE
    for task in prange(images * tiles):
        n = task // tiles
        start = task % tiles * TILE
        stop = min(pixels, start + TILE)
        total = np.empty(stop - start, np.float32)
        for c in range(channels):
            total[:] = 0
            for near in range(max(0, c - size // 2), min(channels, c + size // 2 + 1)):
                row = x[n, near, start:stop]
                _add_products(row, row, total)
            _scale_and_divide(
                x[n, c, start:stop], total, mean, k, beta, scale[n, c, start:stop],
                y[n, c, start:stop],
            )  # fmt: skip


@kernel
def _across_backward(
    x: F32, scale: F32, y: F32, dy: F32, dx: F32, ratio: F32, size: int, factor: F, beta: F
) -> None:
    images, channels, pixels = x.shape
    tiles = (pixels + TILE - 1) // TILE
    for task in prange(images * tiles):
        n = task // tiles
        start = task % tiles * TILE
        stop = min(pixels, start + TILE)
        for c in range(channels):
            _ratios(
                y[n, c, start:stop], dy[n, c, start:stop], scale[n, c, start:stop],
                ratio[n, c, start:stop],
            )  # fmt: skip
        total = np.empty(stop - start, np.float32)
        for c in range(channels):
            total[:] = 0
            for near in range(max(0, c - size // 2), min(channels, c + size // 2 + 1)):
                _add(ratio[n, near, start:stop], total)
            _gradient(
                x[n, c, start:stop], scale[n, c, start:stop], dy[n, c, start:stop], total, factor,
                beta, dx[n, c, start:stop],
            )  # fmt: skip


@kernel
def _within_forward(
    x: F32, scale: F32, y: F32, width: int, size: int, mean: F, beta: F, k: F
) -> None:
    planes, pixels = x.shape
    for p in prange(planes):
        scale[p] = 0
        _add_products(x[p], x[p], scale[p])
        y[p] = 0
        for h in range(0, pixels, width):
            _add_neighbours(scale[p, h : h + width], size, 1, y[p, h : h + width])
        scale[p] = 0
        _add_neighbours(y[p], size, width, scale[p])
        _scale_and_divide(x[p], scale[p], mean, k, beta, scale[p], y[p])


@kernel
def _within_backward(
    x: F32, scale: F32, y: F32, dy: F32, dx: F32, ratio: F32, width: int, size: int, factor: F,
    beta: F,
) -> None:  # fmt: skip
    planes, pixels = x.shape
    for p in prange(planes):
        _ratios(y[p], dy[p], scale[p], ratio[p])
        dx[p] = 0
        for h in range(0, pixels, width):
            _add_neighbours(ratio[p, h : h + width], size, 1, dx[p, h : h + width])
        ratio[p] = 0
        _add_neighbours(dx[p], size, width, ratio[p])
        _gradient(x[p], scale[p], dy[p], ratio[p], factor, beta, dx[p])


# ---- what the loops above do to runs of pixels


@inner
def _add(x: F32, total: F32) -> None:
    for i in range(x.size):
        total[i] += x[i]


@inner
def _add_products(a: F32, b: F32, total: F32) -> None:
    for i in range(a.size):
        total[i] += a[i] * b[i]


@inner
def _add_neighbours(x: F32, size: int, step: int, total: F32) -> None:
    for shift in range(-(size // 2) * step, (size // 2) * step + 1, step):
        begin, end = max(0, -shift), min(x.size, x.size - shift)
        if begin < end:
            _add(x[begin + shift : end + shift], total[begin:end])


@inner
def _scale_and_divide(x: F32, total: F32, mean: F, k: F, beta: F, scale: F32, y: F32) -> None:
    for i in range(x.size):
        scale[i] = k + mean * total[i]
    _to_minus_beta(scale, beta, y)
    for i in range(x.size):
        y[i] *= x[i]


@inner
def _ratios(y: F32, dy: F32, scale: F32, ratio: F32) -> None:
    for i in range(y.size):
        ratio[i] = dy[i] * y[i] / scale[i]


@inner
def _gradient(x: F32, scale: F32, dy: F32, total: F32, factor: F, beta: F, dx: F32) -> None:
    _to_minus_beta(scale, beta, dx)
    for i in range(x.size):
        dx[i] = dy[i] * dx[i] - factor * x[i] * total[i]


@inner
def _to_minus_beta(s: F32, beta: F, power: F32) -> None:
    if beta == THREE_QUARTERS:
        for i in range(s.size):
            root = np.sqrt(s[i])
            # Code for roots and quotients may multiply infinity by an estimate of 0.
            power[i] = F(0) if s[i] == INFINITY else F(1) / (root * np.sqrt(root))
    else:
        for i in range(s.size):
            power[i] = exp(-beta * log(s[i]))
