"""The sum of squared differences."""

import numpy as np

from tests.kernels.cuda.case import Case, normal, special

CASES = [
    Case("forward", normal(70), normal(70), normal(70), normal(1), 6),
    Case("forward", normal(9003), normal(9003), normal(9003), normal(1), 3),
    Case("forward", 3e19 * normal(9), normal(9), normal(9), normal(1), 2**30),
    Case("forward", special(9), normal(9), normal(9), normal(1), 2),
    Case("forward", normal(0), normal(0), normal(0), normal(1), 2),
    Case("backward", special(300), normal(300), -0.3),
    Case("backward", normal(1), normal(1), np.float32(2)),
]
