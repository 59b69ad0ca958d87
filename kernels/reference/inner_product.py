"""Inner product: M samples of K inputs, N outputs. y (M, N) = x (M, K) @ W.T, W (N, K).

With `transpose` the weight is kept as (K, N).
"""

import numpy as np
from numpy.typing import NDArray

from .gemm import gemm

F32 = NDArray[np.float32]


@np.errstate(all="ignore")
def forward(x: F32, weight: F32, bias: F32 | None, y: F32, transpose: bool) -> None:
    """y = x W.T + bias, for x (M, K), y (M, N), bias (N)."""
    gemm(x, weight, y, trans_b=not transpose)
    if bias is not None:
        y += bias


@np.errstate(all="ignore")
def backward_data(dy: F32, weight: F32, dx: F32, transpose: bool) -> None:
    """Overwrite dx (M, K) with dy W, for dy (M, N)."""
    gemm(dy, weight, dx, trans_b=transpose)


@np.errstate(all="ignore")
def backward_weight(x: F32, dy: F32, dweight: F32, transpose: bool) -> None:
    """Add dy.T x to dweight, or its transpose where the weight is kept so."""
    if transpose:
        gemm(x, dy, dweight, trans_a=True, beta=1)
    else:
        gemm(dy, x, dweight, trans_a=True, beta=1)


@np.errstate(all="ignore")
def backward_bias(dy: F32, dbias: F32) -> None:
    """Add the sums of dy (M, N) over samples to dbias (N)."""
    dbias += dy.sum(axis=0)
