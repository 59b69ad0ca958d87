"""Sums, products and maxima of arrays of one shape; outputs may be any of the inputs."""

import numpy as np
from numpy.typing import NDArray

F32 = NDArray[np.float32]
U8 = NDArray[np.uint8]


def sum(a: F32, b: F32, a_factor: float, b_factor: float, y: F32) -> None:
    """Write a_factor a + b_factor b into y."""
    y[...] = np.float32(a_factor) * a + np.float32(b_factor) * b


def scale(x: F32, factor: float, y: F32) -> None:
    """Write factor x into y."""
    np.multiply(x, np.float32(factor), out=y)


def product(a: F32, b: F32, y: F32) -> None:
    """Write a b into y."""
    np.multiply(a, b, out=y)


def quotient(a: F32, b: F32, c: F32, y: F32) -> None:
    """Write (a / b) c into y."""
    with np.errstate(all="ignore"):
        y[...] = a / b * c


def maximum(a: F32, b: F32, y: F32, winner: U8) -> None:
    """Write the larger of a and b into y, and into winner 0 where it is a's, else 1 (also ties)."""
    winner[...] = ~(a > b)
    y[...] = np.where(a > b, a, b)


def maximum_with(x: F32, index: int, y: F32, winner: U8) -> None:
    """Where x > y, write x into y and index into winner."""
    larger = x > y
    y[larger] = x[larger]
    winner[larger] = index


def select(dy: F32, winner: U8, index: int, dx: F32) -> None:
    """Write dy into dx where winner is index, 0 elsewhere."""
    dx[...] = np.where(winner == index, dy, np.float32(0))
