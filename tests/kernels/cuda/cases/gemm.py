"""Matrix products: each way that A and B can lie, sizes around the tiles, alpha and beta."""

from itertools import product

from tests.kernels.cuda.case import Case, normal

CASES = [
    Case("gemm", normal(3, 0), normal(0, 4), normal(3, 4)),
    Case("gemm", normal(3, 2), normal(2, 4), normal(3, 4), False, False, 0.0, 0.5),
    Case("gemm", normal(1, 1), normal(1, 1), normal(1, 1), False, False, 2.0, 1.0),
    Case("gemm", normal(64, 16), normal(16, 64), normal(64, 64)),
]
for trans_a, trans_b, (m, n, k) in product(
    (False, True), (False, True), ((70, 65, 33), (68, 72, 36), (5, 10, 20), (1, 130, 17))
):
    a = normal(k, m) if trans_a else normal(m, k)
    b = normal(n, k) if trans_b else normal(k, n)
    CASES.append(Case("gemm", a, b, normal(m, n), trans_a, trans_b, 1.5, 0.5 * trans_a, atol=1e-5))
