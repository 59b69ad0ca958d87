"""The sum of squares."""

from tests.kernels.cuda.case import Case, normal

CASES = [
    Case("sum_of_squares", normal(1)),
    Case("sum_of_squares", normal(1000), rtol=1e-12),
    Case("sum_of_squares", 3e19 * normal(70), rtol=1e-12),
    Case("sum_of_squares", normal(0)),
]
