"""Copies."""

from tests.kernels.cuda.case import Case, integers, normal

CASES = [
    Case("copy", normal(300), normal(3, 100)),
    Case("copy", integers(9, 3, 100), normal(300)),
    Case("copy_columns", normal(3, 8), 2, normal(3, 9), 4, 5),
    Case("copy_columns", normal(70, 8), 0, normal(70, 8), 0, 8),
]
