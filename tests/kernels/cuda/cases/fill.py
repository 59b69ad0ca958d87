"""Fill."""

from tests.kernels.cuda.case import Case, normal

CASES = [Case("fill", normal(3, 5), 0.25), Case("fill", normal(0), 1.0)]
