"""Matrix product, by NumPy's BLAS."""

import numpy as np
from numpy.typing import NDArray

F32 = NDArray[np.float32]


@np.errstate(all="ignore")
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
    if beta == 0:
        c[...] = 0
    elif beta != 1:
        c *= np.float32(beta)
    if alpha != 0:
        product = (a.T if trans_a else a) @ (b.T if trans_b else b)
        c += np.float32(alpha) * product
