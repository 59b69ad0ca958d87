"""Inner product: M samples of K inputs, N outputs. y (M, N) = x (M, K) @ W.T, W (N, K).

Two kernels make the same product. `naive`: a thread makes a number of y and fetches all 2 K
numbers that it needs. `tiled`: a block makes SIDE x SIDE numbers of y; its threads fetch
SIDE x SIDE numbers of x and of W into shared memory, all wait, and each multiplies what it needs
of them: a number that was fetched once serves SIDE threads.

With `transpose` the weight is kept as (K, N): gemm has these products, and those of backward.
"""

from ._array import DeviceArray
from ._compile.jit import kernel
from ._compile.words import F32, blockIdx, grid, shared, syncthreads, threadIdx
from ._sums import channel_sums, value
from .gemm import gemm

SIDE = 16  # of a tile: numbers of y of a block along each axis, and numbers of K at a time


def forward(
    x: DeviceArray, weight: DeviceArray, bias: DeviceArray | None, y: DeviceArray, transpose: bool
) -> None:
    """y = x W.T + bias, for x (M, K), y (M, N), bias (N): `tiled`, or gemm for a transposed W."""
    if transpose:
        gemm(x, weight, y)
    else:
        tiled(x, weight, y)
    if bias is not None:
        _add_bias.over(y.size)(bias, y)


def naive(x: DeviceArray, weight: DeviceArray, y: DeviceArray) -> None:
    """y = x W.T: a thread a number of y, neighbouring threads neighbours in a row of y."""
    _naive.over(y.size)(x, weight, y)


def tiled(x: DeviceArray, weight: DeviceArray, y: DeviceArray) -> None:
    """y = x W.T: a block of (SIDE, SIDE) threads for each tile of y. Any M, N and K, 0 too."""
    rows, columns = y.shape
    blocks = -(-columns // SIDE), -(-rows // SIDE)
    _tiled[blocks, (SIDE, SIDE)](x, weight, y)


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
def _naive(x: F32, weight: F32, y: F32) -> None:
    """x (M, K), weight (N, K), y (M, N); a thread for each number of y."""
    i = grid()
    if i < y.size:
        row, column = i // y.shape[1], i % y.shape[1]
        total = 0.0
        for k in range(x.shape[1]):
            total += x[row, k] * weight[column, k]
        y[row, column] = total


@kernel
def _tiled(x: F32, weight: F32, y: F32) -> None:
    """x (M, K), weight (N, K), y (M, N); blocks of (SIDE, SIDE) threads, one for each tile of y."""
    across, down = threadIdx.x, threadIdx.y
    row, column = blockIdx.y * SIDE + down, blockIdx.x * SIDE + across
    x_tile = shared((SIDE, SIDE))
    w_tile = shared((SIDE, SIDE + 1))  # a row more a bank further: no conflict down a column
    total = 0.0
    for first in range(0, x.shape[1], SIDE):
        k, output = first + across, blockIdx.x * SIDE + down
        x_tile[down, across] = x[row, k] if row < y.shape[0] and k < x.shape[1] else 0.0
        w_tile[down, across] = weight[output, k] if output < y.shape[1] and k < x.shape[1] else 0.0
        syncthreads()
        for step in range(SIDE):
            total += x_tile[down, step] * w_tile[across, step]
        syncthreads()
    if row < y.shape[0] and column < y.shape[1]:
        y[row, column] = total


@kernel
def _add_bias(bias: F32, y: F32) -> None:
    i = grid()
    if i < y.size:
        row, column = i // bias.size, i % bias.size
        y[row, column] += bias[column]
