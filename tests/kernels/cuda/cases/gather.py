"""Rows picked and added up by index."""

from tests.kernels.cuda.case import Case, integers, normal

CASES = []
for count, rows, length in ((7, 5, 3), (70, 9, 33), (33, 100, 2), (1, 1, 1), (0, 3, 2)):
    index = integers(rows, count, dtype="float32")
    CASES += [
        Case("gather", normal(rows, length), index, normal(count, length), rtol=0, atol=0),
        Case("scatter_add", normal(count, length), index, normal(rows, length), rtol=0, atol=0),
    ]
