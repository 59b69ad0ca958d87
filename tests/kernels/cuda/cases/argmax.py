"""The largest of rows and of maps."""

import numpy as np

from tests.kernels.cuda.case import Case, normal, special

CASES = []
for outer, classes, inner, k in (
    (3, 10, 1, 1), (2, 100, 1, 5), (1, 1, 1, 1), (5, 7, 1, 7), (2, 5, 33, 2), (1, 3, 300, 3),
    (0, 4, 1, 2),
):  # fmt: skip
    for x in (normal(outer, classes, inner), np.round(normal(outer, classes, inner))):
        CASES += [
            Case("forward", x, normal(outer, 1, k, inner), False),
            Case("forward", x, normal(outer, 1, k, inner), True),
            Case("forward", x, normal(outer, 2, k, inner), False),
        ]
lowest = np.full((2, 40, 1), -np.inf, np.float32)
lowest[0, ::3] = np.nan
for x in (special(1, 8, 1), special(2, 4, 2), lowest, lowest.reshape(2, 8, 5)):
    CASES += [Case("forward", x, normal(x.shape[0], 2, 4, x.shape[2]), False)]
