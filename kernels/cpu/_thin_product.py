"""Products of a few rows with a large matrix, which is read once, in order, and never packed.

    C (M, N) = alpha A (M, K) B (K, N) + beta C,   M <= 4:   2 M N K operations on 4 N K bytes

What one image needs of a fully connected layer, whose speed is that of memory. Where B is kept by
columns, each element of C is a scalar product; where it is kept by rows, each row of B is added,
times a number of A, to a row of C.
"""

import numpy as np
from numba import prange
from numpy.typing import NDArray

from ._jit import kernel
from ._line_kernel import add_product, dot_lines
from ._vectors import LANES

F32 = NDArray[np.float32]

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
        smooth = (last - first) // LANES * LANES
        for i in range(m):
            for at in range(i * n + first, i * n + last):
                c[at] = beta * c[at] if beta != 0 else np.float32(0)
        for row in range(k):
            for i in range(m):
                factor = alpha * a[i * k + row]
                add_product(smooth, factor, b, row * n + first, c, i * n + first)
                for j in range(first + smooth, last):
                    c[i * n + j] += factor * b[row * n + j]
