"""Embed: rows of a table (rows, length), by float indices."""

import numpy as np
from numpy.typing import NDArray

from ._labels import read_labels

F32 = NDArray[np.float32]
I32 = NDArray[np.int32]

NOTHING = -1  # the index of no row


def forward(index: F32, weight: F32, bias: F32 | None, y: F32, found: I32) -> None:
    """Write weight[index] + bias into y (indices, length), the bias alone for index -1.

    For a bad index, anything. Writes into found (1) the position of the first bad index or -1.
    """
    row, named, bad = read_labels(index, weight.shape[0], NOTHING)
    y[...] = np.where(named[:, np.newaxis], weight[row], np.float32(0))
    if bias is not None:
        y += bias
    found[0] = bad


def backward_weight(index: F32, dy: F32, dweight: F32) -> None:
    """Add each dy to the row of dweight that its index names, if it names one."""
    row, named, _ = read_labels(index, dweight.shape[0], NOTHING)
    np.add.at(dweight, row[named], dy[named])


def backward_bias(dy: F32, dbias: F32) -> None:
    """Add the sum of dy over the indices to dbias."""
    dbias += dy.sum(axis=0)
