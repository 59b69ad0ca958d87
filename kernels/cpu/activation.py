"""Functions of one element: 8 bytes an element forward, 12 or 16 backward, and the formula.

Each function has kernels of its own, made when it is first used. Those that work in place are
separate, because only loops whose output is not one of several inputs become vector code.
"""

from collections.abc import Callable
from functools import cache
from typing import Any

import numpy as np
from numba import prange
from numpy.typing import NDArray

from ._compile.jit import kernel
from ._scalar import ACTIVATIONS

F32 = NDArray[np.float32]


def forward(function: str, x: F32, y: F32, *params: float) -> None:
    """Write the function of x into y (any shape; y may be x)."""
    apply, apply_in_place = _forward_kernels(function)
    scalars = tuple(map(np.float32, params))
    if np.may_share_memory(x, y):
        apply_in_place(y.reshape(-1), scalars)
    else:
        apply(x.reshape(-1), y.reshape(-1), scalars)


def backward(function: str, x: F32, y: F32, dy: F32, dx: F32, *params: float) -> None:
    """Write dy times the derivative at x, where the value is y, into dx (dx may be dy)."""
    multiply, multiply_in_place = _backward_kernels(function)
    scalars = tuple(map(np.float32, params))
    if np.may_share_memory(dy, dx):
        multiply_in_place(x.reshape(-1), y.reshape(-1), dx.reshape(-1), scalars)
    else:
        multiply(x.reshape(-1), y.reshape(-1), dy.reshape(-1), dx.reshape(-1), scalars)


@cache
def _forward_kernels(function: str) -> tuple[Callable[..., None], Callable[..., None]]:
    value, _ = ACTIVATIONS[function]

    @kernel
    def apply(x: F32, y: F32, params: Any) -> None:
        for i in prange(y.size):
            y[i] = value(x[i], *params)

    @kernel
    def apply_in_place(y: F32, params: Any) -> None:
        for i in prange(y.size):
            y[i] = value(y[i], *params)

    return apply, apply_in_place


@cache
def _backward_kernels(function: str) -> tuple[Callable[..., None], Callable[..., None]]:
    _, slope = ACTIVATIONS[function]

    @kernel
    def multiply(x: F32, y: F32, dy: F32, dx: F32, params: Any) -> None:
        for i in prange(dx.size):
            dx[i] = dy[i] * slope(x[i], y[i], *params)

    @kernel
    def multiply_in_place(x: F32, y: F32, d: F32, params: Any) -> None:
        for i in prange(d.size):
            d[i] *= slope(x[i], y[i], *params)

    return multiply, multiply_in_place
