"""Matrices as kernels take them: an array, where in it the matrix begins, and the steps in it.

Each is a NamedTuple, which Numba takes apart when it compiles: between compiled functions it costs
nothing. From Python it does, one or two microseconds each, so kernels that Python calls take arrays
and plain tuples of integers.
"""

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

F32 = NDArray[np.float32]


class Vectors(NamedTuple):
    """The rows of A, or the columns of B: what the sum of a product runs along.

    Number k of vector i is values[start + i * step + k * k_step], where step or k_step is 1.
    """

    values: F32
    start: int
    step: int
    k_step: int


class Items(NamedTuple):
    """So many products are summed; A and B of the next one are so many floats further."""

    number: int
    a_step: int
    b_step: int


class Rows(NamedTuple):
    """A matrix by rows: element (i, j) is values[start + i * step + j]."""

    values: F32
    start: int
    rows: int
    columns: int
    step: int


class Column(NamedTuple):
    """A number for each row: number i is values[start + i * step]."""

    values: F32
    start: int
    step: int


class PackedRows(NamedTuple):
    """A in panels (`packing.py`): the one with row i begins at values[start + i * deep].

    The first `skipped` of its `deep` columns are left out of the sum.
    """

    values: F32
    start: int
    deep: int
    skipped: int


class PackedColumns(NamedTuple):
    """B in panels of COLUMNS columns: panel p begins at values[start + p * panel_step].

    Its row k is `row_step` floats after row k - 1.
    """

    values: F32
    start: int
    panel_step: int
    row_step: int
