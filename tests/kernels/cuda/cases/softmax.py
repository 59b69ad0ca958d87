"""Softmax of rows and of maps."""

from tests.kernels.cuda.case import Case, normal, positive

x = normal(3, 10, 1)
CASES = [Case("forward", x, x), Case("backward", positive(3, 10, 1), x, x)]
for shape in ((5, 10, 1), (3, 1000, 1), (9, 33, 1), (1, 1, 1), (2, 5, 33), (1, 3, 300), (0, 4, 1)):
    CASES += [
        Case("forward", 5 * normal(*shape), normal(*shape)),
        Case("backward", positive(*shape) / 9, normal(*shape), normal(*shape)),
    ]
