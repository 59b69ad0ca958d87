"""Functions of one element: value y = f(x; parameters) and derivative f'(x), where y is known."""

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

F32 = NDArray[np.float32]


def forward(function: str, x: F32, y: F32, *params: float) -> None:
    """Write the function of x into y (any shape; y may be x)."""
    with np.errstate(all="ignore"):
        y[...] = VALUES[function](x, *map(np.float32, params))


def backward(function: str, x: F32, y: F32, dy: F32, dx: F32, *params: float) -> None:
    """Write dy times the derivative at x, where the value is y, into dx (dx may be dy)."""
    with np.errstate(all="ignore"):
        dx[...] = dy * SLOPES[function](x, y, *map(np.float32, params))


def _sigmoid(x: F32) -> F32:
    y: F32 = np.float32(0.5) * np.tanh(np.float32(0.5) * x) + np.float32(0.5)
    return y


VALUES: dict[str, Callable[..., F32]] = {
    "abs_val": np.abs,
    "affine": lambda x, scale, shift: scale * x + shift,
    "bnll": lambda x: np.maximum(x, 0) + np.log1p(np.exp(-np.abs(x))),
    "clip": lambda x, low, high: np.fmax(low, np.minimum(x, high)),  # NaN becomes low
    "elu": lambda x, alpha: np.where(x > 0, x, alpha * np.expm1(np.minimum(x, 0))),
    "exponential": lambda x, inner, outer: outer * np.exp(inner * x),
    "logarithm": lambda x, scale, shift, factor: factor * np.log(scale * x + shift),
    "power": lambda x, scale, shift, exponent: (scale * x + shift) ** exponent,
    "sigmoid": _sigmoid,
    "square": lambda x, scale, shift: (scale * x + shift) ** 2,
    "swish": lambda x, beta: x * _sigmoid(beta * x),
    "tanh": np.tanh,
}

SLOPES: dict[str, Callable[..., F32]] = {
    "abs_val": lambda x, y: np.nan_to_num(np.sign(x)),  # 0 at NaN
    "affine": lambda x, y, scale, shift: scale,
    "bnll": lambda x, y: _sigmoid(x),
    "clip": lambda x, y, low, high: (low <= x) & (x <= high),
    "elu": lambda x, y, alpha: np.where(x > 0, np.float32(1), alpha + y),
    "exponential": lambda x, y, inner, outer: inner * y,
    "logarithm": lambda x, y, scale, shift, factor: factor * scale / (scale * x + shift),
    "power": lambda x, y, scale, shift, exponent: (
        exponent * scale * (scale * x + shift) ** (exponent - 1)
    ),
    "sigmoid": lambda x, y: y * (1 - y),
    "square": lambda x, y, scale, shift: 2 * scale * (scale * x + shift),
    "swish": lambda x, y, beta: beta * y + _sigmoid(beta * x) * (1 - beta * y),
    "tanh": lambda x, y: 1 - y * y,
}
