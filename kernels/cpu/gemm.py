"""Matrix product."""

import numpy as np
from numba import prange
from numpy.typing import NDArray

from ._jit import kernel

F32 = NDArray[np.float32]


def gemm(
    a: F32,
    b: F32,
    c: F32,
    trans_a: bool = False,
    trans_b: bool = False,
    alpha: float = 1.0,
    beta: float = 0.0,
) -> None:
    """C = alpha op(A) op(B) + beta C, where op transposes if asked; op(A) (M, K), op(B) (K, N).

    As in BLAS, C is not read when beta is 0, and A and B are not read when alpha is 0.
    """
    _gemm(a, b, c, trans_a, trans_b, np.float32(alpha), np.float32(beta))


@kernel
def _gemm(
    a: F32, b: F32, c: F32, trans_a: bool, trans_b: bool, alpha: np.float32, beta: np.float32
) -> None:
    inner = a.shape[0] if trans_a else a.shape[1]
    for i in prange(c.shape[0]):
        for j in range(c.shape[1]):
            c[i, j] = np.float32(0) if beta == 0 else beta * c[i, j]
        if alpha != 0:
            for k in range(inner):
                scaled = alpha * (a[k, i] if trans_a else a[i, k])
                for j in range(c.shape[1]):
                    c[i, j] += scaled * (b[j, k] if trans_b else b[k, j])
