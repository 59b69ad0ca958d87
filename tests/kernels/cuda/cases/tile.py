"""Rows repeated, and their gradients summed."""

from tests.kernels.cuda.case import Case, normal

CASES = []
for rows, tiles, size in ((3, 4, 70), (5, 1, 3), (2, 70, 3), (3, 300, 1), (1, 1, 1), (0, 2, 3)):
    CASES += [
        Case("forward", normal(rows, size), normal(rows, tiles, size), rtol=0, atol=0),
        Case("backward", normal(rows, tiles, size), normal(rows, size), atol=1e-5),
    ]
