"""Sums, products and maxima: 12 bytes (a maximum 13) and one operation an element.

Outputs may be inputs.
"""

import numpy as np
from numba import prange
from numpy.typing import NDArray

from ._compile.jit import kernel

F32 = NDArray[np.float32]
U8 = NDArray[np.uint8]


def sum(a: F32, b: F32, a_factor: float, b_factor: float, y: F32) -> None:
    """Write a_factor a + b_factor b into y."""
    _sum(a.reshape(-1), b.reshape(-1), np.float32(a_factor), np.float32(b_factor), y.reshape(-1))


def scale(x: F32, factor: float, y: F32) -> None:
    """Write factor x into y."""
    _scale(x.reshape(-1), np.float32(factor), y.reshape(-1))


def product(a: F32, b: F32, y: F32) -> None:
    """Write a b into y."""
    _product(a.reshape(-1), b.reshape(-1), y.reshape(-1))


def quotient(a: F32, b: F32, c: F32, y: F32) -> None:
    """Write (a / b) c into y."""
    _quotient(a.reshape(-1), b.reshape(-1), c.reshape(-1), y.reshape(-1))


def maximum(a: F32, b: F32, y: F32, winner: U8) -> None:
    """Write the larger of a and b into y, and into winner 0 where it is a's, else 1 (also ties)."""
    _maximum(a.reshape(-1), b.reshape(-1), y.reshape(-1), winner.reshape(-1))


def maximum_with(x: F32, index: int, y: F32, winner: U8) -> None:
    """Where x > y, write x into y and index into winner."""
    _maximum_with(x.reshape(-1), np.uint8(index), y.reshape(-1), winner.reshape(-1))


def select(dy: F32, winner: U8, index: int, dx: F32) -> None:
    """Write dy into dx where winner is index, 0 elsewhere."""
    _select(dy.reshape(-1), winner.reshape(-1), np.uint8(index), dx.reshape(-1))


@kernel
def _sum(a: F32, b: F32, a_factor: np.float32, b_factor: np.float32, y: F32) -> None:
    for i in prange(y.size):
        y[i] = a_factor * a[i] + b_factor * b[i]


@kernel
def _scale(x: F32, factor: np.float32, y: F32) -> None:
    for i in prange(y.size):
        y[i] = factor * x[i]


@kernel
def _product(a: F32, b: F32, y: F32) -> None:
    for i in prange(y.size):
        y[i] = a[i] * b[i]


@kernel
def _quotient(a: F32, b: F32, c: F32, y: F32) -> None:
    for i in prange(y.size):
        y[i] = a[i] / b[i] * c[i]


@kernel
def _maximum(a: F32, b: F32, y: F32, winner: U8) -> None:
    for i in prange(y.size):
        first = a[i] > b[i]
        winner[i] = np.uint8(0) if first else np.uint8(1)
        y[i] = a[i] if first else b[i]


@kernel
def _maximum_with(x: F32, index: np.uint8, y: F32, winner: U8) -> None:
    for i in prange(y.size):
        if x[i] > y[i]:
            y[i] = x[i]
            winner[i] = index


@kernel
def _select(dy: F32, winner: U8, index: np.uint8, dx: F32) -> None:
    for i in prange(dx.size):
        dx[i] = dy[i] if winner[i] == index else np.float32(0)
