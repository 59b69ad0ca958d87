"""What recurrent layers do between their products."""

from tests.kernels.cuda.case import Case, normal, special

CASES = [
    Case("start", normal(20), None, normal(4, 3, 20)),
    Case("start", normal(20), normal(3, 20), normal(4, 3, 20)),
    Case("start", normal(1), normal(1, 1), normal(1, 1, 1)),
    Case("start", normal(3), normal(0, 3), normal(2, 0, 3)),
    Case("mask", normal(7), normal(7, 50), normal(7, 50)),
    Case("mask", special(5), special(5, 3), normal(5, 3)),
    Case("add_masked", normal(7, 50), normal(7), normal(7, 50)),
    Case("add_masked", special(5, 3), special(5), special(5, 3)),
]
