"""Mean-variance normalisation of rows."""

from tests.kernels.cuda.case import Case, normal, positive, special

EPS = 1e-9
CASES = []
for variance in (False, True):
    x, dy = normal(3, 5), normal(3, 5)
    CASES += [
        Case("forward", x, x, positive(3), EPS, variance, atol=1e-5),
        Case("backward", normal(3, 5), dy, positive(3), dy, variance, atol=1e-5),
        Case("forward", special(4, 6), normal(4, 6), positive(4), EPS, variance),
        Case("backward", normal(4, 6), special(4, 6), positive(4), normal(4, 6), variance),
    ]
    for shape in ((3, 5), (2, 9000), (70, 33), (0, 4)):
        x = 2 + 3 * normal(*shape)
        CASES += [
            Case("forward", x, normal(*shape), positive(shape[0]), EPS, variance, atol=1e-4),
            Case("backward", normal(*shape), normal(*shape), positive(shape[0]), x, variance,
                 atol=1e-4),
        ]  # fmt: skip
