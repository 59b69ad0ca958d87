"""Winograd's convolution F(2, 3): 16 multiplications for 2 x 2 outputs of 3 x 3 taps, not 36.

For a line of four pixels d and three taps g, two outputs (Winograd, 1980; Lavin and Gray, 2015):

    y = A.T [(G g) * (B.T d)]                        element by element: 4 multiplications, not 6

and for a tile of 4 x 4 pixels, along both axes, with U = G g G.T and V = B.T d B:

    Y (2, 2) = A.T [U * V] A

U is made once for each filter and channel, V once for each tile and channel. The sum over channels
can be taken before A, and so is a matrix product for each of the 16 places:

    M[e] (O, T) = U[e] (O, C) @ V[e] (C, T)          T tiles of an image, e = 0 ... 15

The gradient to the images is a convolution of dy with the filters turned by 180 degrees, outputs
and channels exchanged: the same kernels, `transposed` sizes. That to the filters goes unfolded.
"""

import numpy as np
from numba import prange
from numpy.typing import NDArray

from .._compile.jit import kernel
from ..gemm import gemm
from . import _unfolded as unfolded
from .plan import Plan, Sizes, transposed

F32 = NDArray[np.float32]

G = np.array([[1, 0, 0], [0.5, 0.5, 0.5], [0.5, -0.5, 0.5], [0, 0, 1]], np.float32)
BT = np.array([[1, 0, -1, 0], [0, 1, 1, 0], [0, -1, 1, 0], [0, 1, 0, -1]], np.float32)
AT = np.array([[1, 1, 1, 0], [0, 1, -1, -1]], np.float32)


def serves(sizes: Sizes) -> bool:
    """3 x 3 taps, stride and dilation 1, padding of at most 2."""
    s = sizes
    steps = (s.stride_h, s.stride_w, s.dilation_h, s.dilation_w)
    return (s.kernel_h, s.kernel_w) == (3, 3) and steps == (1,) * 4 and max(s.pad_h, s.pad_w) <= 2


def scratch_size(plan: Plan) -> int:
    """Floats of scratch: U, V and M of one image and group, and columns for backward_weight."""
    s = plan.sizes
    sizes = [16 * _floats(each) for each in (s, transposed(s))]
    return max(*sizes, unfolded.scratch_size(plan))


def _floats(s: Sizes) -> int:
    return s.outputs * s.channels + (s.channels + s.outputs) * count_tiles(s)


def count_tiles(s: Sizes) -> int:
    """How many tiles of 2 x 2 an image of the output has; the last ones may stick out."""
    return (s.out_height + 1) // 2 * ((s.out_width + 1) // 2)


def forward(plan: Plan, x: F32, weight: F32, bias: F32, y: F32, scratch: F32) -> None:
    """y = W * x + bias."""
    s = plan.sizes
    shape = s.groups, s.outputs, s.channels, 3, 3
    _convolve(s, x, weight.reshape(shape), bias, y, scratch)


def backward_data(plan: Plan, dy: F32, weight: F32, dx: F32, scratch: F32) -> None:
    """Overwrite dx: dy convolved with the filters turned round."""
    s = plan.sizes
    shape = s.groups, s.outputs, s.channels, 3, 3
    turned = weight.reshape(shape)[..., ::-1, ::-1].transpose(0, 2, 1, 3, 4)
    zeros = np.zeros(dx.shape[1], np.float32)
    _convolve(transposed(s), dy, np.ascontiguousarray(turned), zeros, dx, scratch)


def backward_weight(plan: Plan, x: F32, dy: F32, dweight: F32, scratch: F32) -> None:
    """Add the gradient to the filters to dweight."""
    unfolded.backward_weight(plan, x, dy, dweight, scratch)


def _convolve(s: Sizes, x: F32, weight: F32, bias: F32, y: F32, scratch: F32) -> None:
    """y = W * x + bias for such sizes; weight (G, O/G, C/G, 3, 3)."""
    count = count_tiles(s)
    ends = np.cumsum([16 * s.outputs * s.channels, 16 * s.channels * count, 16 * s.outputs * count])
    u = scratch[: ends[0]].reshape(16, s.outputs, s.channels)
    v = scratch[ends[0] : ends[1]].reshape(16, s.channels, count)
    m = scratch[ends[1] : ends[2]].reshape(16, s.outputs, count)
    images = x.reshape(s.images, s.groups, s.channels, s.height, s.width)
    maps = y.reshape(s.images, s.groups, s.outputs, s.out_height, s.out_width)
    for g in range(s.groups):
        transform_filters(weight[g], u)
        for n in range(s.images):
            transform_images(s, images[n, g], v)
            for e in range(16):
                gemm(u[e], v[e], m[e])
            transform_back(s, m, bias.reshape(s.groups, s.outputs)[g], maps[n, g])


@kernel
def transform_filters(weight: F32, u: F32) -> None:
    """Overwrite u (16, O, C): U = G g G.T for each filter and channel g of weight (O, C, 3, 3).

    Place e = 4 i + j of the first axis is U[i, j].
    """
    for o in prange(weight.shape[0]):
        for c in range(weight.shape[1]):
            for i in range(4):
                for j in range(4):
                    total = np.float32(0)
                    for r in range(3):
                        for t in range(3):
                            total += G[i, r] * weight[o, c, r, t] * G[j, t]
                    u[4 * i + j, o, c] = total


@kernel
def transform_images(s: Sizes, x: F32, v: F32) -> None:
    """Overwrite v (16, C, T): V = B.T d B for each channel of x (C, H, W) and each tile d.

    Tile t, in rows of (out_width + 1) // 2, is the 4 x 4 pixels whose first one lies at row
    2 (t // across) - pad_h and column 2 (t % across) - pad_w; outside of the image they are 0.
    """
    across = (s.out_width + 1) // 2
    for c in prange(x.shape[0]):
        d = np.zeros((4, 4), np.float32)
        for t in range(v.shape[2]):
            top, left = 2 * (t // across) - s.pad_h, 2 * (t % across) - s.pad_w
            for i in range(4):
                for j in range(4):
                    inside = 0 <= top + i < s.height and 0 <= left + j < s.width
                    d[i, j] = x[c, top + i, left + j] if inside else np.float32(0)
            for i in range(4):
                for j in range(4):
                    total = np.float32(0)
                    for r in range(4):
                        for q in range(4):
                            total += BT[i, r] * d[r, q] * BT[j, q]
                    v[4 * i + j, c, t] = total


@kernel
def transform_back(s: Sizes, m: F32, bias: F32, y: F32) -> None:
    """Overwrite y (O, H', W'): bias (O) + A.T M A for each tile of m (16, O, T).

    Of the last tiles, what sticks out of y is left away.
    """
    across = (s.out_width + 1) // 2
    for o in prange(y.shape[0]):
        for t in range(m.shape[2]):
            for i in range(2):
                for j in range(2):
                    row, column = 2 * (t // across) + i, 2 * (t % across) + j
                    if row < s.out_height and column < s.out_width:
                        total = bias[o]
                        for r in range(4):
                            for q in range(4):
                                total += AT[i, r] * m[4 * r + q, o, t] * AT[j, q]
                        y[o, row, column] = total
