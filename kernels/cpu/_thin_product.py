"""Products of a few rows with a large matrix, which is read once, in order, and never packed.

    C (M, N) = alpha A (M, K) B (K, N) + beta C,   M <= 4:   2 M N K operations on 4 N K bytes

What one image needs of a fully connected layer, whose speed is that of memory. Where B is kept by
columns, each element of C is a scalar product; where it is kept by rows, each row of B is added,
times a number of A, to a row of C.
"""

import numpy as np
from numba import prange
from numpy.typing import NDArray

from ._jit import inner, kernel
from ._line_kernel import dot_lines
from ._vectors import LANES

F32 = NDArray[np.float32]

FOUR = 4
BLOCK = 2048  # columns of C, which stay in the first-level cache while rows of B go by


def serves(m: int, n: int, k: int, trans_a: bool) -> bool:
    """Whether this file is faster for such a product than packing; A must be kept by rows."""
    return m <= (1 if trans_a else 4) and n * k >= 1 << 16


def multiply(a: F32, b: F32, c: F32, trans_b: bool, alpha: float, beta: float) -> None:
    """C = alpha A op(B) + beta C."""
    m, n = c.shape
    run = _by_columns if trans_b else _by_rows
    run(
        m, n, a.size // m, np.float32(alpha), np.float32(beta),
        a.reshape(-1), b.reshape(-1), c.reshape(-1),
    )  # fmt: skip


@kernel
def _by_columns(
    m: int, n: int, k: int, alpha: np.float32, beta: np.float32, a: F32, b: F32, c: F32
) -> None:
    smooth = k // LANES * LANES
    for j in prange(n):
        for i in range(m):
            total = dot_lines(1, smooth, a, i * k, 0, b, j * k, 0)
            for at in range(smooth, k):
                total += a[i * k + at] * b[j * k + at]
            old = beta * c[i * n + j] if beta != 0 else np.float32(0)
            c[i * n + j] = alpha * total + old


@kernel
def _by_rows(
    m: int, n: int, k: int, alpha: np.float32, beta: np.float32, a: F32, b: F32, c: F32
) -> None:
    for block in prange((n + BLOCK - 1) // BLOCK):
        first, last = block * BLOCK, min(block * BLOCK + BLOCK, n)
        for i in range(m):
            for at in range(i * n + first, i * n + last):
                c[at] = beta * c[at] if beta != 0 else np.float32(0)
        for row in range(0, k, FOUR):
            for i in range(m):
                factors = a[i * k + row : i * k + min(row + FOUR, k)]
                line = c[i * n + first : i * n + last]
                if factors.size == FOUR:
                    _add_four(alpha, factors, b, row * n + first, n, line)
                else:
                    for at in range(factors.size):
                        start = (row + at) * n
                        _add_one(alpha * factors[at], b[start + first : start + last], line)


@inner
def _add_four(alpha: np.float32, factors: F32, b: F32, b0: int, step: int, c: F32) -> None:
    """Add the products of four lines, `step` apart, and four factors to c."""
    f0, f1 = alpha * factors[0], alpha * factors[1]
    f2, f3 = alpha * factors[2], alpha * factors[3]
    line0, line1 = b[b0 : b0 + c.size], b[b0 + step : b0 + step + c.size]
    line2 = b[b0 + 2 * step : b0 + 2 * step + c.size]
    line3 = b[b0 + 3 * step : b0 + 3 * step + c.size]
    for j in range(c.size):
        c[j] += f0 * line0[j] + f1 * line1[j] + f2 * line2[j] + f3 * line3[j]


@inner
def _add_one(factor: np.float32, b: F32, c: F32) -> None:
    for j in range(c.size):
        c[j] += factor * b[j]
