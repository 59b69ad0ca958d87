"""Rows of a table, and gradients added to them."""

import numpy as np

from tests.kernels.cuda.case import Case, integers, normal

CASES = [
    Case("backward_bias", normal(70, 5), normal(5)),
    Case("backward_bias", normal(0, 5), normal(5)),
]
for count, rows, length in ((7, 5, 3), (70, 9, 33), (40, 300, 60), (1, 1, 1), (0, 3, 2)):
    index = integers(rows, count, dtype="float32") + 0.25 * integers(3, count, dtype="float32")
    table = normal(rows, length)
    CASES += [
        Case("forward", index, table, normal(length), normal(count, length), integers(9, 1)),
        Case("forward", index, table, None, normal(count, length), integers(9, 1)),
        # the order of a sum is the same, so that bits are
        Case("backward_weight", index, normal(count, length), table, rtol=0, atol=0),
    ]
for bad in (-1.0, 5.0, np.nan, np.inf, -(2.0**31), 1e9):
    index = integers(5, 40, dtype="float32")
    index[[17, 23]] = bad, 9
    CASES.append(Case("forward", index, normal(5, 3), normal(3), normal(40, 3), integers(9, 1)))
