"""Reductions of rows."""

from tests.kernels.cuda.case import Case, normal, special

CASES = []
for operation in ("SUM", "MEAN", "ASUM", "SUMSQ"):
    CASES += [
        Case("forward", operation, normal(*shape), normal(shape[0]), 0.3, rtol=1e-4)
        for shape in ((3, 5), (1, 1), (2, 9000), (70, 33), (2, 0), (0, 4))
    ]
    CASES += [
        Case("backward", operation, normal(*shape), normal(shape[0]), normal(*shape), -0.7)
        for shape in ((3, 5), (1, 1), (70, 33), (0, 4))
    ]
    CASES += [
        Case("forward", operation, special(8, 2), normal(8), 2.0),
        Case("backward", operation, special(8, 2), normal(8), normal(8, 2), 2.0),
    ]
