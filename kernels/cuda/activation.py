"""Functions of one element: a thread each, and the formula; kernels are made when first used."""

from functools import cache
from typing import Any

from ._array import DeviceArray
from ._compile.jit import Kernel, kernel
from ._compile.words import F32, grid
from ._scalar import ACTIVATIONS


def forward(function: str, x: DeviceArray, y: DeviceArray, *params: float) -> None:
    """Write the function of x into y (any shape; y may be x)."""
    scalars = tuple(map(float, params))
    _forward(function).over(y.size)(x.reshape(-1), y.reshape(-1), scalars)


def backward(
    function: str, x: DeviceArray, y: DeviceArray, dy: DeviceArray, dx: DeviceArray, *params: float
) -> None:
    """Write dy times the derivative at x, where the value is y, into dx (dx may be dy)."""
    arrays = (each.reshape(-1) for each in (x, y, dy, dx))
    _backward(function).over(dx.size)(*arrays, tuple(map(float, params)))


@cache
def _forward(function: str) -> Kernel:
    value, _ = ACTIVATIONS[function]

    @kernel
    def activation(x: F32, y: F32, params: Any) -> None:
        i = grid()
        if i < y.size:
            y[i] = value(x[i], *params)

    return activation


@cache
def _backward(function: str) -> Kernel:
    _, slope = ACTIVATIONS[function]

    @kernel
    def activation_backward(x: F32, y: F32, dy: F32, dx: F32, params: Any) -> None:
        i = grid()
        if i < dx.size:
            dx[i] = dy[i] * slope(x[i], y[i], *params)

    return activation_backward
