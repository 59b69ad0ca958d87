"""Margins, linear and squared."""

import numpy as np

from tests.kernels.cuda.case import Case, integers, normal, special


def labels(classes: int, count: int) -> np.ndarray:
    """A label for each sample."""
    return integers(classes, count, dtype="float32")


bad = np.array([1, 0, 3, np.nan], np.float32)
CASES = [
    Case("forward", normal(4, 3), bad, normal(4, 3), normal(1), integers(9, 2), False),
    Case("forward", normal(4, 0), labels(3, 4), normal(4, 0), normal(1), integers(9, 2), False),
    Case("forward", normal(0, 3), normal(0), normal(0, 3), normal(1), integers(9, 2), True),
]
for squared in (False, True):
    for shape in ((5, 10), (70, 33), (1, 1)):
        margins = np.maximum(normal(*shape), 0)
        label = labels(shape[1], shape[0])
        CASES += [
            Case("forward", normal(*shape), label, normal(*shape), normal(1), integers(9, 2),
                 squared),
            Case("backward", margins, label, normal(*shape), 0.7, squared),
        ]  # fmt: skip
    CASES.append(
        Case("forward", special(3, 4), labels(4, 3), normal(3, 4), normal(1), integers(9, 2),
             squared)
    )  # fmt: skip
