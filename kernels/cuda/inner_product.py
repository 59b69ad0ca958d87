"""Inner product: M samples of K inputs, N outputs. y (M, N) = x (M, K) @ W.T, W (N, K).

With `transpose` the weight is kept as (K, N). The products are gemm's; the bias is one more pass.
"""

from ._array import DeviceArray
from ._compile.jit import kernel
from ._compile.words import F32, grid
from ._sums import channel_sums, value
from .gemm import gemm


def forward(
    x: DeviceArray, weight: DeviceArray, bias: DeviceArray | None, y: DeviceArray, transpose: bool
) -> None:
    """y = x W.T + bias, for x (M, K), y (M, N), bias (N)."""
    gemm(x, weight, y, trans_b=not transpose)
    if bias is not None:
        _add_bias.over(y.size)(bias, y)


def backward_data(dy: DeviceArray, weight: DeviceArray, dx: DeviceArray, transpose: bool) -> None:
    """Overwrite dx (M, K) with dy W, for dy (M, N)."""
    gemm(dy, weight, dx, trans_b=transpose)


def backward_weight(x: DeviceArray, dy: DeviceArray, dweight: DeviceArray, transpose: bool) -> None:
    """Add dy.T x to dweight, or its transpose where the weight is kept so."""
    if transpose:
        gemm(x, dy, dweight, trans_a=True, beta=1)
    else:
        gemm(dy, x, dweight, trans_a=True, beta=1)


def backward_bias(dy: DeviceArray, dbias: DeviceArray) -> None:
    """Add the sums of dy (M, N) over samples to dbias (N)."""
    channel_sums(value, (dy.reshape(*dy.shape, 1),), dbias, accumulate=True)


@kernel
def _add_bias(bias: F32, y: F32) -> None:
    i = grid()
    if i < y.size:
        row, column = i // bias.size, i % bias.size
        y[row, column] += bias[column]
