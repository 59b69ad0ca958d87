"""Eltwise SUM of two blobs, ReLU and Split in one go: a pass over memory, an element at a time.

    y = relu(a_factor a + b_factor b)
    d = dy where y > 0, slope dy elsewhere; da = a_factor d, db = b_factor d
    and where two layers read y, dy is the sum of their gradients

as `eltwise`, `relu` and `split` compute it. They move, one by one and in bytes an element, 20
forward (a, b, y; y, y) and 52 backward; here it is 12 forward and 28 backward, with a Split 24
(both gradients, y, d, da, db), for 3 FLOPs forward and 4 backward. Nothing is used twice, so there
is nothing to gain from an order of the loops.
"""

import numpy as np
from numba import prange
from numpy.typing import NDArray

from ._compile.jit import kernel
from .relu import rectified

F32 = NDArray[np.float32]


def forward(a: F32, b: F32, a_factor: float, b_factor: float, slope: float, y: F32) -> None:
    """Write the rectified a_factor a + b_factor b into y (any shape)."""
    factors = np.float32(a_factor), np.float32(b_factor), np.float32(slope)
    _forward(a.reshape(-1), b.reshape(-1), *factors, y.reshape(-1))


def backward(
    y: F32, slope: float, dy: F32, a_factor: float, b_factor: float, da: F32, db: F32
) -> None:
    """Write the gradients of a and b into da and db; dy is left as that of their sum."""
    factors = np.float32(slope), np.float32(a_factor), np.float32(b_factor)
    _backward(y.reshape(-1), dy.reshape(-1), *factors, da.reshape(-1), db.reshape(-1))


def backward_split(
    y: F32, slope: float, first: F32, second: F32, dy: F32, a_factor: float, b_factor: float,
    da: F32, db: F32,
) -> None:  # fmt: skip
    """The same for the sum of two gradients of y; dy, which is written, is left in the same way."""
    arrays = y.reshape(-1), first.reshape(-1), second.reshape(-1), dy.reshape(-1)
    factors = np.float32(slope), np.float32(a_factor), np.float32(b_factor)
    _backward_split(*arrays, *factors, da.reshape(-1), db.reshape(-1))


@kernel
def _forward(
    a: F32, b: F32, a_factor: np.float32, b_factor: np.float32, slope: np.float32, y: F32
) -> None:
    for i in prange(y.size):
        y[i] = rectified(a_factor * a[i] + b_factor * b[i], slope)


@kernel
def _backward(
    y: F32, dy: F32, slope: np.float32, a_factor: np.float32, b_factor: np.float32, da: F32, db: F32
) -> None:
    for i in prange(y.size):
        gradient = dy[i] if y[i] > 0 else slope * dy[i]
        dy[i] = gradient
        da[i] = a_factor * gradient
        db[i] = b_factor * gradient


@kernel
def _backward_split(
    y: F32, first: F32, second: F32, dy: F32, slope: np.float32, a_factor: np.float32,
    b_factor: np.float32, da: F32, db: F32,
) -> None:  # fmt: skip
    for i in prange(y.size):
        total = first[i] + second[i]
        gradient = total if y[i] > 0 else slope * total
        dy[i] = gradient
        da[i] = a_factor * gradient
        db[i] = b_factor * gradient
