"""LRN of images (N, C, H, W): y = x s^-beta, s = k + alpha/size Σ x² over a window.

A thread takes an element and adds up its window; neighbouring threads have neighbouring pixels,
whose windows overlap or lie side by side, so that a line comes from memory once. Both kinds of
windows are rectangles of maps (planes, rows, columns): those of channels have the images as planes,
channels as rows, pixels as columns, and are one column wide. Forward moves 12 bytes an element;
back a first launch writes dy y / s, 16 bytes, and a second adds it up, 20.
"""

from functools import cache
from typing import Any

import numpy as np

from ._array import DeviceArray
from ._compile.jit import Kernel, inner, kernel
from ._compile.words import F32, grid
from ._scalar import exp, log

Shape = tuple[int, int, int]


def across_forward(
    x: DeviceArray, scale: DeviceArray, y: DeviceArray, size: int, alpha: float, beta: float,
    k: float,
) -> None:  # fmt: skip
    """Write s over windows of `size` channels into scale, and the quotient into y."""
    _launch_forward((x, scale, y), _channels(x), (size // 2, 0), alpha / size, beta, k)


def across_backward(
    x: DeviceArray, scale: DeviceArray, y: DeviceArray, dy: DeviceArray, dx: DeviceArray,
    ratio: DeviceArray, size: int, alpha: float, beta: float,
) -> None:  # fmt: skip
    """Write the gradient into dx; `ratio` is scratch of x's shape."""
    _launch_backward((x, scale, y, dy, dx, ratio), _channels(x), (size // 2, 0), alpha / size, beta)


def within_forward(
    x: DeviceArray, scale: DeviceArray, y: DeviceArray, size: int, alpha: float, beta: float,
    k: float,
) -> None:  # fmt: skip
    """Write s over windows of size x size pixels into scale, and the quotient into y."""
    _launch_forward((x, scale, y), _pixels(x), (size // 2, size // 2), alpha / size**2, beta, k)


def within_backward(
    x: DeviceArray, scale: DeviceArray, y: DeviceArray, dy: DeviceArray, dx: DeviceArray,
    ratio: DeviceArray, size: int, alpha: float, beta: float,
) -> None:  # fmt: skip
    """Write the gradient into dx; `ratio` is scratch of x's shape."""
    _launch_backward(
        (x, scale, y, dy, dx, ratio), _pixels(x), (size // 2, size // 2), alpha / size**2, beta
    )


def _channels(x: DeviceArray) -> Shape:
    return x.shape[0], x.shape[1], x.shape[2] * x.shape[3]


def _pixels(x: DeviceArray) -> Shape:
    return x.shape[0] * x.shape[1], x.shape[2], x.shape[3]


def _launch_forward(
    arrays: tuple[DeviceArray, ...], maps: Shape, reach: tuple[int, int], mean: float, beta: float,
    k: float,
) -> None:  # fmt: skip
    views = (each.reshape(maps) for each in arrays)
    forward = _forward(beta == 0.75)
    forward.over(arrays[0].size)(*views, *reach, mean, float(beta), float(k))


def _launch_backward(
    arrays: tuple[DeviceArray, ...], maps: Shape, reach: tuple[int, int], mean: float, beta: float
) -> None:
    x, scale, y, dy, dx, ratio = (each.reshape(maps) for each in arrays)
    _ratios.over(x.size)(*(each.reshape(-1) for each in (scale, y, dy, ratio)))
    backward, factor = _backward(beta == 0.75), 2 * beta * mean
    backward.over(x.size)(x, scale, dy, dx, ratio, *reach, factor, float(beta))


@cache
def _forward(three_quarters: bool) -> Kernel:
    power = _inverse_root if three_quarters else _inverse_power

    @kernel
    def lrn(
        x: F32, scale: F32, y: F32, high: int, wide: int, mean: float, beta: float, k: float
    ) -> None:
        """The window reaches `high` rows and `wide` columns to each side."""
        n, row, column = _place(grid(), x)
        if n < x.shape[0]:
            total = 0.0
            for r in range(max(0, row - high), min(row + high + 1, x.shape[1])):
                for c in range(max(0, column - wide), min(column + wide + 1, x.shape[2])):
                    total += x[n, r, c] * x[n, r, c]
            s = k + mean * total
            scale[n, row, column] = s
            y[n, row, column] = x[n, row, column] * power(s, beta)

    return lrn


@kernel
def _ratios(scale: F32, y: F32, dy: F32, ratio: F32) -> None:
    i = grid()
    if i < ratio.size:
        ratio[i] = dy[i] * y[i] / scale[i]


@cache
def _backward(three_quarters: bool) -> Kernel:
    power = _inverse_root if three_quarters else _inverse_power

    @kernel
    def lrn_backward(
        x: F32, scale: F32, dy: F32, dx: F32, ratio: F32, high: int, wide: int, factor: float,
        beta: float,
    ) -> None:  # fmt: skip
        """A value is in the windows of those that are in its own window."""
        n, row, column = _place(grid(), x)
        if n < x.shape[0]:
            total = 0.0
            for r in range(max(0, row - high), min(row + high + 1, x.shape[1])):
                for c in range(max(0, column - wide), min(column + wide + 1, x.shape[2])):
                    total += ratio[n, r, c]
            own = dy[n, row, column] * power(scale[n, row, column], beta)
            dx[n, row, column] = own - factor * x[n, row, column] * total

    return lrn_backward


@inner
def _place(number: int, maps: F32) -> Any:
    """(plane, row, column) of an element; the plane is one too many after the last element."""
    row = number // maps.shape[2]
    return row // maps.shape[1], row % maps.shape[1], number % maps.shape[2]


@inner
def _inverse_root(s: float, beta: float) -> Any:
    """s^-0.75, by two roots."""
    root = np.sqrt(s)
    return 1.0 / (root * np.sqrt(root))


@inner
def _inverse_power(s: float, beta: float) -> Any:
    """s^-beta."""
    return exp(-beta * log(s))
