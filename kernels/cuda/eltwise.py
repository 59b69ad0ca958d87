"""Sums, products and maxima of arrays of one shape; a thread an element, outputs may be inputs."""

from ._array import DeviceArray
from ._compile.jit import Kernel, kernel
from ._compile.words import F32, U8, grid


def sum(a: DeviceArray, b: DeviceArray, a_factor: float, b_factor: float, y: DeviceArray) -> None:
    """Write a_factor a + b_factor b into y."""
    _each(_sum, y, a, b, float(a_factor), float(b_factor))


def scale(x: DeviceArray, factor: float, y: DeviceArray) -> None:
    """Write factor x into y."""
    _each(_scale, y, x, float(factor))


def product(a: DeviceArray, b: DeviceArray, y: DeviceArray) -> None:
    """Write a b into y."""
    _each(_product, y, a, b)


def quotient(a: DeviceArray, b: DeviceArray, c: DeviceArray, y: DeviceArray) -> None:
    """Write (a / b) c into y."""
    _each(_quotient, y, a, b, c)


def maximum(a: DeviceArray, b: DeviceArray, y: DeviceArray, winner: DeviceArray) -> None:
    """Write the larger of a and b into y, and into winner 0 where it is a's, else 1 (also ties)."""
    _each(_maximum, y, a, b, winner)


def maximum_with(x: DeviceArray, index: int, y: DeviceArray, winner: DeviceArray) -> None:
    """Where x > y, write x into y and index into winner."""
    _each(_maximum_with, y, x, index, winner)


def select(dy: DeviceArray, winner: DeviceArray, index: int, dx: DeviceArray) -> None:
    """Write dy into dx where winner is index, 0 elsewhere."""
    _each(_select, dx, dy, winner, index)


def _each(kernel: Kernel, y: DeviceArray, *args: DeviceArray | float) -> None:
    """Run a kernel for each element of y."""
    flat = (arg.reshape(-1) if isinstance(arg, DeviceArray) else arg for arg in args)
    kernel.over(y.size)(y.reshape(-1), *flat)


@kernel
def _sum(y: F32, a: F32, b: F32, a_factor: float, b_factor: float) -> None:
    i = grid()
    if i < y.size:
        y[i] = a_factor * a[i] + b_factor * b[i]


@kernel
def _scale(y: F32, x: F32, factor: float) -> None:
    i = grid()
    if i < y.size:
        y[i] = factor * x[i]


@kernel
def _product(y: F32, a: F32, b: F32) -> None:
    i = grid()
    if i < y.size:
        y[i] = a[i] * b[i]


@kernel
def _quotient(y: F32, a: F32, b: F32, c: F32) -> None:
    i = grid()
    if i < y.size:
        y[i] = a[i] / b[i] * c[i]


@kernel
def _maximum(y: F32, a: F32, b: F32, winner: U8) -> None:
    i = grid()
    if i < y.size:
        is_a = a[i] > b[i]
        y[i] = a[i] if is_a else b[i]
        winner[i] = 0 if is_a else 1


@kernel
def _maximum_with(y: F32, x: F32, index: int, winner: U8) -> None:
    i = grid()
    if i < y.size and x[i] > y[i]:
        y[i] = x[i]
        winner[i] = index


@kernel
def _select(dx: F32, dy: F32, winner: U8, index: int) -> None:
    i = grid()
    if i < dx.size:
        dx[i] = dy[i] if winner[i] == index else 0.0
