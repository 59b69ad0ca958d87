"""Sums of the gradients of several readers."""

from tests.kernels.cuda.case import Case, normal, special

x = normal(3, 50)
CASES = [
    Case("backward", [normal(3, 50)], normal(3, 50)),
    Case("backward", [normal(3, 50), special(3, 50)], normal(3, 50)),
    Case("backward", [x, normal(3, 50), normal(3, 50)], x),
    Case("backward", [normal(1) for _ in range(17)], normal(1)),
    Case("backward", [normal(0), normal(0)], normal(0)),
]
