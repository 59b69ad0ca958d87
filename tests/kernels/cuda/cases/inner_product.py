"""Inner products, with the weight kept either way."""

from tests.kernels.cuda.case import Case, normal

CASES = [
    Case("backward_bias", normal(70, 5), normal(5)),
    Case("backward_bias", normal(1, 1), normal(1)),
]
for transpose in (False, True):
    weight = normal(6, 5) if transpose else normal(5, 6)
    CASES += [
        Case("forward", normal(70, 6), weight, normal(5), normal(70, 5), transpose),
        Case("forward", normal(70, 6), weight, None, normal(70, 5), transpose),
        Case("backward_data", normal(70, 5), weight, normal(70, 6), transpose),
        Case("backward_weight", normal(70, 6), normal(70, 5), weight, transpose, atol=1e-5),
    ]
