"""PReLU with a slope a channel, and with one for all."""

from tests.kernels.cuda.case import Case, normal, special

x, dy = normal(2, 3, 5), normal(2, 3, 5)
CASES = [
    Case("forward", x, normal(3), x),
    Case("backward_data", x, normal(3), dy, dy),
    Case("forward", special(2, 3, 2), normal(3), normal(2, 3, 2)),
    Case("backward_data", special(2, 3, 2), normal(3), normal(2, 3, 2), normal(2, 3, 2)),
    Case("backward_slope", special(2, 3, 2), normal(2, 3, 2), normal(3)),
    Case("backward_slope", normal(2, 3, 2), special(2, 3, 2), normal(3)),
]
for shape in ((2, 3, 5), (1, 1, 70), (1, 1, 9000), (4, 33, 1), (0, 3, 2)):
    x, slope = normal(*shape), normal(shape[1])
    CASES += [
        Case("forward", x, slope, normal(*shape)),
        Case("backward_data", x, slope, normal(*shape), normal(*shape)),
        Case("backward_slope", x, normal(*shape), slope, rtol=1e-4, atol=1e-4),
    ]
