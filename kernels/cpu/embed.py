"""Embed: rows of a table (rows, length), by float indices."""

import numpy as np
from numba import prange
from numpy.typing import NDArray

from ._compile.jit import kernel
from ._labels import OUTSIDE, class_of

F32 = NDArray[np.float32]
I32 = NDArray[np.int32]

NOTHING = -1  # the index of no row
BLOCK = 64  # columns of the table that one task adds to


def forward(index: F32, weight: F32, bias: F32 | None, y: F32, found: I32) -> None:
    """Write weight[index] + bias into y (indices, length), the bias alone for index -1.

    For a bad index, anything. Writes into found (1) the position of the first bad index or -1.
    """
    bad = np.zeros(index.size, np.bool_)
    _forward(index, weight, np.zeros(weight.shape[1], np.float32) if bias is None else bias, y, bad)
    found[0] = bad.argmax() if bad.any() else -1


def backward_weight(index: F32, dy: F32, dweight: F32) -> None:
    """Add each dy to the row of dweight that its index names, if it names one."""
    _backward_weight(index, dy, dweight)


def backward_bias(dy: F32, dbias: F32) -> None:
    """Add the sum of dy over the indices to dbias."""
    _backward_bias(dy, dbias)


@kernel
def _forward(index: F32, weight: F32, bias: F32, y: F32, bad: NDArray[np.bool_]) -> None:
    for n in prange(index.size):
        row = class_of(index[n], weight.shape[0], NOTHING)
        bad[n] = row == OUTSIDE
        for i in range(y.shape[1]):
            y[n, i] = (weight[row, i] if row >= 0 else np.float32(0)) + bias[i]


@kernel
def _backward_weight(index: F32, dy: F32, dweight: F32) -> None:
    # tasks share out the columns, because two indices may name one row
    length = dweight.shape[1]
    for block in prange((length + BLOCK - 1) // BLOCK):
        for n in range(index.size):
            row = class_of(index[n], dweight.shape[0], NOTHING)
            if row >= 0:
                for i in range(block * BLOCK, min(length, (block + 1) * BLOCK)):
                    dweight[row, i] += dy[n, i]


@kernel
def _backward_bias(dy: F32, dbias: F32) -> None:
    length = dbias.size
    for block in prange((length + BLOCK - 1) // BLOCK):
        for n in range(dy.shape[0]):
            for i in range(block * BLOCK, min(length, (block + 1) * BLOCK)):
                dbias[i] += dy[n, i]
