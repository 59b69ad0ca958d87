"""Sums, products and maxima."""

from tests.kernels.cuda.case import Case, integers, normal

x = normal(3, 100)
mask = integers(3, 3, 100, dtype="uint8")
CASES = [
    Case("sum", normal(3, 100), normal(3, 100), 1, -1.5, normal(3, 100)),
    Case("sum", x, normal(3, 100), 0.5, 2, x),
    Case("scale", normal(3, 100), 3, normal(3, 100)),
    Case("product", normal(3, 100), x, x),
    Case("quotient", normal(3, 100), normal(3, 100), x, x),
    Case("maximum", normal(3, 100), x, normal(3, 100), mask),
    Case("maximum", x, x, normal(3, 100), mask),
    Case("maximum_with", normal(3, 100), 2, normal(3, 100), mask),
    Case("select", normal(3, 100), mask, 2, normal(3, 100)),
]
