"""Batch normalisation, by the batch's statistics and by given ones."""

from tests.kernels.cuda.case import Case, normal, positive, special

EPS = 1e-5
x, dy = normal(2, 3, 5), normal(2, 3, 5)
CASES = [
    Case("forward_given", x, normal(3), positive(3), EPS, x),
    Case("backward", normal(2, 3, 5), dy, positive(3), EPS, dy, atol=1e-5),
    Case("backward", None, dy, positive(3), EPS, dy),
    Case("accumulate", normal(3), positive(3), 0.9, 10, normal(3), positive(3), positive(1)),
    Case("accumulate", normal(300), positive(300), 0.999, 1, normal(300), normal(300), normal(1)),
    Case("averages", normal(3), positive(3), positive(1), normal(3), normal(3)),
    Case("averages", normal(300), normal(300), 0 * normal(1), normal(300), normal(300)),
]
for shape in ((2, 3, 5), (4, 33, 1), (300, 3, 1), (3, 2, 3000), (1, 1, 1), (2, 1, 70)):
    x, c = 3 + 2 * normal(*shape), shape[1]
    CASES += [
        Case("forward_batch", x, normal(c), normal(c), EPS, 0 * x, 0 * x, rtol=1e-4, atol=1e-4),
        Case("forward_given", x, normal(c), positive(c), EPS, normal(*shape)),
        Case("backward", x, normal(*shape), positive(c), EPS, normal(*shape), atol=1e-4),
        Case("backward", None, normal(*shape), positive(c), EPS, normal(*shape)),
    ]
x = special(2, 6, 3)
CASES += [
    Case("forward_batch", x, normal(6), normal(6), EPS, 0 * normal(2, 6, 3), normal(2, 6, 3)),
    Case("backward", normal(2, 6, 3), x, positive(6), EPS, normal(2, 6, 3)),
    Case("forward_batch", 1e4 + normal(2, 1, 900), normal(1), normal(1), EPS, normal(2, 1, 900),
         normal(2, 1, 900), rtol=1e-2, atol=2e-2),
]  # fmt: skip
