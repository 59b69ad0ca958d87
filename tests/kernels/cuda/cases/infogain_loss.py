"""Cross-entropy with a matrix, of rows and of maps."""

import numpy as np

from tests.kernels.cuda.case import Case, integers, normal, positive, special

found = np.array([-1, 7], np.int32)
CASES = []
for shape in ((5, 10, 1), (70, 33, 1), (1, 1, 1), (2, 5, 33), (0, 3, 1)):
    outer, classes, inner = shape
    label = integers(classes, outer, inner, dtype="float32")
    for divisor, ignore in ((0, None), (7, 0)):
        CASES += [
            Case("forward", positive(*shape), label, normal(classes, classes),
                 normal(outer, inner), normal(1), integers(9, 2), divisor, ignore, atol=1e-5),
            Case("backward", positive(*shape), label, normal(classes, classes), normal(*shape),
                 0.7, found, ignore, atol=1e-5),
        ]  # fmt: skip
for inner in (1, 2):
    bad = np.ones((4, inner), np.float32)
    bad[2:] = [[np.nan], [3]]
    CASES += [
        Case("forward", positive(4, 3, inner), bad, normal(3, 3), normal(4, inner), normal(1),
             integers(9, 2), 0, 1),
        Case("forward", special(4, 3, inner), np.ones((4, inner), np.float32), positive(3, 3),
             normal(4, inner), normal(1), integers(9, 2), 0, None),
        Case("backward", special(4, 3, inner), np.ones((4, inner), np.float32), positive(3, 3),
             normal(4, 3, inner), 1, found, None),
    ]  # fmt: skip
