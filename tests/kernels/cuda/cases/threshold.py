"""Threshold."""

from tests.kernels.cuda.case import Case, normal, special

x = normal(3, 100)
CASES = [
    Case("forward", normal(3, 100), normal(3, 100), 0.2),
    Case("forward", special(3, 100), normal(3, 100), 0.0),
    Case("forward", x, x, -0.5),
]
