"""Inner product: M samples of K inputs, N outputs. y (M, N) = x (M, K) @ W.T, W (N, K).

With `transpose` the weight is kept as (K, N). Each of the three products is 2 M N K operations.
"""

import numpy as np
from numba import prange
from numpy.typing import NDArray

from ._compile.jit import kernel
from .gemm import gemm

F32 = NDArray[np.float32]


def forward(x: F32, weight: F32, bias: F32 | None, y: F32, transpose: bool) -> None:
    """y = x W.T + bias, for x (M, K), y (M, N), bias (N)."""
    if bias is not None:
        _fill_rows(bias, y)
    gemm(x, weight, y, trans_b=not transpose, beta=0 if bias is None else 1)


def backward_data(dy: F32, weight: F32, dx: F32, transpose: bool) -> None:
    """Overwrite dx (M, K) with dy W, for dy (M, N)."""
    gemm(dy, weight, dx, trans_b=transpose)


def backward_weight(x: F32, dy: F32, dweight: F32, transpose: bool) -> None:
    """Add dy.T x to dweight, or its transpose where the weight is kept so."""
    if transpose:
        gemm(x, dy, dweight, trans_a=True, beta=1)
    else:
        gemm(dy, x, dweight, trans_a=True, beta=1)


def backward_bias(dy: F32, dbias: F32) -> None:
    """Add the sums of dy (M, N) over samples to dbias (N)."""
    _add_columns(dy, dbias)


@kernel
def _fill_rows(bias: F32, y: F32) -> None:
    for i in prange(y.shape[0]):
        for j in range(y.shape[1]):
            y[i, j] = bias[j]


@kernel
def _add_columns(dy: F32, dbias: F32) -> None:
    block = 64  # columns, whose sums stay in the first-level cache
    for start in prange((dy.shape[1] + block - 1) // block):
        for i in range(dy.shape[0]):
            for j in range(start * block, min(start * block + block, dy.shape[1])):
                dbias[j] += dy[i, j]
