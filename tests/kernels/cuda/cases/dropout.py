"""Dropout."""

from tests.kernels.cuda.case import Case, integers, normal

x, mask = normal(3, 100), integers(2, 3, 100, dtype="float32")
CASES = [Case("apply", normal(3, 100), mask, normal(3, 100), 2.0), Case("apply", x, mask, x, 1.5)]
