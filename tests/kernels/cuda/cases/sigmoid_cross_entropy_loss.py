"""The cross-entropy of sigmoids, with and without targets that do not count."""

import numpy as np

from tests.kernels.cuda.case import Case, integers, normal, positive, special

found = np.array([-1, 7], np.int32)
targets = np.array([-1, -1.5, -0.9, 0, 0.5, 1, np.nan, np.inf, 2.0**31, -2, 9e9], np.float32)
CASES = [
    Case("forward", normal(5000), positive(5000), normal(1), integers(9, 2), 0, None),
    Case("forward", 40 * normal(70), integers(2, 70, dtype="float32"), normal(1), integers(9, 2),
         7, 0),
    Case("forward", 3e38 * np.ones(6, np.float32), -np.ones(6, np.float32) / 2, normal(1),
         integers(9, 2), 6, None),
    Case("forward", special(9), positive(9), normal(1), integers(9, 2), 0, None),
    Case("forward", normal(0), normal(0), normal(1), integers(9, 2), 0, 1),
    Case("forward", normal(3), np.full(3, 255.5, np.float32), normal(1), integers(9, 2), 0, 255),
    Case("backward", 9 * normal(300), positive(300), normal(300), 0.7, found, None),
    Case("backward", special(9), positive(9), normal(9), -2, found, None),
]  # fmt: skip
for ignore in (-1, 0, 1, 2**31 - 1):
    CASES += [
        Case("forward", normal(11), np.where(targets > 1, 0.25, targets).astype("float32"),
             normal(1), integers(9, 2), 0, ignore),
        Case("backward", normal(11), targets, normal(11), 0.7, found, ignore),
    ]  # fmt: skip
