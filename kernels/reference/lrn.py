"""LRN of images (N, C, H, W): y = x s^-beta, s = k + alpha/size Σ x² over a window."""

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view
from numpy.typing import NDArray

F32 = NDArray[np.float32]


def across_forward(
    x: F32, scale: F32, y: F32, size: int, alpha: float, beta: float, k: float
) -> None:
    """Write s over windows of `size` channels into scale, and the quotient into y."""
    _forward(x, scale, y, (1,), size, alpha, beta, k)


def across_backward(
    x: F32, scale: F32, y: F32, dy: F32, dx: F32, ratio: F32, size: int, alpha: float, beta: float
) -> None:
    """Write the gradient into dx; `ratio` is scratch of x's shape."""
    _backward(x, scale, y, dy, dx, ratio, (1,), size, alpha, beta)


def within_forward(
    x: F32, scale: F32, y: F32, size: int, alpha: float, beta: float, k: float
) -> None:
    """Write s over windows of size x size pixels into scale, and the quotient into y."""
    _forward(x, scale, y, (2, 3), size, alpha, beta, k)


def within_backward(
    x: F32, scale: F32, y: F32, dy: F32, dx: F32, ratio: F32, size: int, alpha: float, beta: float
) -> None:
    """Write the gradient into dx; `ratio` is scratch of x's shape."""
    _backward(x, scale, y, dy, dx, ratio, (2, 3), size, alpha, beta)


@np.errstate(all="ignore")
def _forward(
    x: F32, scale: F32, y: F32, axes: tuple[int, ...], size: int, alpha: float, beta: float,
    k: float,
) -> None:  # fmt: skip
    mean = np.float32(alpha / size ** len(axes))
    scale[...] = np.float32(k) + mean * _window_sums(np.square(x), axes, size)
    y[...] = x * scale ** np.float32(-beta)


@np.errstate(all="ignore")
def _backward(
    x: F32, scale: F32, y: F32, dy: F32, dx: F32, ratio: F32, axes: tuple[int, ...], size: int,
    alpha: float, beta: float,
) -> None:  # fmt: skip
    factor = np.float32(2 * beta * alpha / size ** len(axes))
    ratio[...] = dy * y / scale
    dx[...] = dy * scale ** np.float32(-beta) - factor * x * _window_sums(ratio, axes, size)


def _window_sums(x: F32, axes: tuple[int, ...], size: int) -> F32:
    for axis in axes:
        width = [(size // 2, size // 2) if a == axis else (0, 0) for a in range(x.ndim)]
        x = sliding_window_view(np.pad(x, width), size, axis).sum(axis=-1)
    return x
