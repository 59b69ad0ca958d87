"""ReLU."""

from tests.kernels.cuda.case import Case, normal, special

x = normal(5, 70)
CASES = [
    Case("forward", normal(7, 300), normal(7, 300), 0.1),
    Case("forward", special(3, 5), normal(3, 5), 0.0),
    Case("forward", x, x, 0.5),
    Case("forward", normal(0), normal(0), 0.5),
    Case("backward", normal(7, 300), normal(7, 300), normal(7, 300), 0.1),
    Case("backward", normal(5, 70), x, x, 0.0),
]
