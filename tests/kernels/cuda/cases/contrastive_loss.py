"""Pairs that are similar, and others."""

import numpy as np

from tests.kernels.cuda.case import Case, integers, normal, special

odd = np.array([0, 0.5, -0.9, 1, -1, 2, np.nan, np.inf, 0], np.float32)
CASES = [
    Case("forward", special(9, 2), normal(9, 2), odd, normal(9, 2), normal(9), normal(1), 1, False),
    Case("backward", special(9, 2), np.abs(special(9)), odd, normal(9, 2), 1, 1, False),
    Case("backward", special(9, 2), np.abs(special(9)), odd, normal(9, 2), 1, 1, True),
    # many pairs are the work of several blocks
    Case("forward", normal(100, 3), normal(100, 3), integers(2, 100, dtype="float32"),
         normal(100, 3), normal(100), normal(1), 2, False),
]  # fmt: skip
for legacy in (False, True):
    for pairs, channels in ((9, 40), (1, 1), (0, 3)):
        shape = (pairs, channels)
        CASES += [
            Case("forward", normal(*shape), normal(*shape), odd[:pairs], normal(*shape),
                 normal(pairs), normal(1), 9, legacy),
            Case("backward", normal(*shape), np.abs(normal(pairs)), odd[:pairs], normal(*shape),
                 -0.7, 1.5, legacy),
        ]  # fmt: skip
