"""Embed: rows of a table (rows, length), by float indices; a thread for each element."""

from typing import Any

import numpy as np

from ._array import DeviceArray
from ._compile.jit import inner
from ._labels import OUTSIDE, class_of
from ._means import NONE, write_mean
from ._rows import add_rows
from .inner_product import backward_bias as sum_columns

NOTHING = -1  # the index of no row
ZERO = np.float32(0)


def forward(
    index: DeviceArray,
    weight: DeviceArray,
    bias: DeviceArray | None,
    y: DeviceArray,
    found: DeviceArray,
) -> None:
    """Write weight[index] + bias into y (indices, length), the bias alone for index -1.

    For a bad index, anything. Writes into found (1) the position of the first bad index or -1.
    """
    if bias is None:
        write_mean(_look_up, y.size, (index, y, weight), 1, None, found)
    else:
        write_mean(_look_up_and_add, y.size, (index, y, weight, bias), 1, None, found)


def backward_weight(index: DeviceArray, dy: DeviceArray, dweight: DeviceArray) -> None:
    """Add each dy to the row of dweight that its index names, if it names one."""
    add_rows(index, dy, dweight)


def backward_bias(dy: DeviceArray, dbias: DeviceArray) -> None:
    """Add the sum of dy over the indices to dbias."""
    sum_columns(dy, dbias)


@inner
def _look_up(i: int, args: Any) -> Any:
    index, y, weight = args
    position, row, column = _place(i, index, weight)
    y[position, column] = weight[row, column] if row >= 0 else ZERO
    return 0.0, 0, position if row == OUTSIDE else NONE


@inner
def _look_up_and_add(i: int, args: Any) -> Any:
    index, y, weight, bias = args
    position, row, column = _place(i, index, weight)
    y[position, column] = bias[column] + (weight[row, column] if row >= 0 else ZERO)
    return 0.0, 0, position if row == OUTSIDE else NONE


@inner
def _place(i: int, index: Any, weight: Any) -> Any:
    """The position of an element of the output, the row that it names, and the column."""
    rows, length = weight.shape
    position = i // length
    return position, class_of(index[position], rows, NOTHING), i % length
