"""Scale and bias, of channels, of single numbers and of all."""

from tests.kernels.cuda.case import Case, normal, special

x = normal(2, 3, 5)
CASES = [Case("forward", x, normal(3), normal(3), x)]
for shape in ((2, 3, 5), (1, 1, 1), (3, 4, 1), (1, 300, 1), (70, 33, 1), (2, 2, 3000), (0, 3, 2)):
    s = shape[1]
    CASES += [
        Case("forward", normal(*shape), normal(s), normal(s), normal(*shape)),
        Case("forward", normal(*shape), normal(s), None, normal(*shape)),
        Case("forward", normal(*shape), None, normal(s), normal(*shape)),
        Case("gradient", normal(*shape), normal(*shape), normal(s), True, rtol=1e-4, atol=1e-4),
        Case("gradient", None, normal(*shape), normal(s), False, rtol=1e-4, atol=1e-4),
    ]
CASES += [
    Case("forward", special(2, 3, 2), normal(3), normal(3), normal(2, 3, 2)),
    Case("gradient", special(2, 3, 2), normal(2, 3, 2), normal(3), False),
    Case("gradient", None, normal(60, 1, 1000), normal(1), True, rtol=1e-3, atol=1e-3),
]
