"""Convolution as matrix products: im2col writes out what each tap sees, gemm does the rest.

    col (K, P): row (c, r, t) is what that tap sees from each pixel of the output
    y (O/G, P) = W (O/G, K) @ col        dcol = W.T @ dy        dW += dy @ col.T

for each image and group. The 2 O P K operations run at gemm's speed; what they cost besides is col,
`taps` times as large as the image, which is written once and read again. gemm is that of
kernels/cpu/gemm: the product's, or yours of lab numba if you copy it into this folder.
"""

import numpy as np
from numba import prange
from numpy.typing import NDArray

from .._compile.jit import kernel
from ..gemm import gemm
from .plan import Plan, Sizes

F32 = NDArray[np.float32]


def serves(sizes: Sizes) -> bool:
    """Every convolution."""
    return True


def scratch_size(plan: Plan) -> int:
    """Floats of scratch: the columns of one image and group."""
    return plan.sizes.depth * plan.sizes.pixels


def forward(plan: Plan, x: F32, weight: F32, bias: F32, y: F32, scratch: F32) -> None:
    """y = W * x + bias."""
    s = plan.sizes
    images, maps, filters, col = views(s, x, y, weight, scratch)
    for n in range(s.images):
        for g in range(s.groups):
            im2col(s, images[n, g], col)
            maps[n, g] = bias.reshape(s.groups, s.outputs, 1)[g]
            gemm(filters[g], col, maps[n, g], beta=1)


def backward_data(plan: Plan, dy: F32, weight: F32, dx: F32, scratch: F32) -> None:
    """Overwrite dx with the gradient to the images."""
    s = plan.sizes
    images, maps, filters, col = views(s, dx, dy, weight, scratch)
    for n in range(s.images):
        for g in range(s.groups):
            gemm(filters[g], maps[n, g], col, trans_a=True)
            col2im(s, col, images[n, g])


def backward_weight(plan: Plan, x: F32, dy: F32, dweight: F32, scratch: F32) -> None:
    """Add the gradient to the filters to dweight."""
    s = plan.sizes
    images, maps, filters, col = views(s, x, dy, dweight, scratch)
    for n in range(s.images):
        for g in range(s.groups):
            im2col(s, images[n, g], col)
            gemm(maps[n, g], col, filters[g], trans_b=True, beta=1)


def views(s: Sizes, x: F32, y: F32, weight: F32, scratch: F32) -> tuple[F32, F32, F32, F32]:
    """x (N, G, C/G, H, W), y (N, G, O/G, P), weight (G, O/G, K), and col (K, P) of the scratch."""
    return (
        x.reshape(s.images, s.groups, s.channels, s.height, s.width),
        y.reshape(s.images, s.groups, s.outputs, s.pixels),
        weight.reshape(s.groups, s.outputs, s.depth),
        scratch[: s.depth * s.pixels].reshape(s.depth, s.pixels),
    )


@kernel
def im2col(s: Sizes, x: F32, col: F32) -> None:
    """Overwrite col (K, P) with what taps see of x (C/G, H, W): 0 outside of the image.

    Row k is tap t of row r of channel c, k = (c kernel_h + r) kernel_w + t; its element
    p = i out_width + j is x[c, stride_h i + dilation_h r - pad_h, stride_w j + ... - pad_w].
    """
    for k in prange(s.depth):
        t = k % s.kernel_w
        r = k // s.kernel_w % s.kernel_h
        c = k // (s.kernel_w * s.kernel_h)
        for i in range(s.out_height):
            row = s.stride_h * i + s.dilation_h * r - s.pad_h
            for j in range(s.out_width):
                column = s.stride_w * j + s.dilation_w * t - s.pad_w
                inside = 0 <= row < s.height and 0 <= column < s.width
                p = i * s.out_width + j
                col[k, p] = x[c, row, column] if inside else np.float32(0)


@kernel
def col2im(s: Sizes, col: F32, x: F32) -> None:
    """Overwrite x (C/G, H, W) with the sums of what col (K, P) has for each pixel.

    This is im2col's adjoint. A turn of the outer loop has a channel to itself.
    """
    for c in prange(s.channels):
        x[c] = 0
        for r in range(s.kernel_h):
            for t in range(s.kernel_w):
                k = (c * s.kernel_h + r) * s.kernel_w + t
                for i in range(s.out_height):
                    row = s.stride_h * i + s.dilation_h * r - s.pad_h
                    for j in range(s.out_width):
                        column = s.stride_w * j + s.dilation_w * t - s.pad_w
                        if 0 <= row < s.height and 0 <= column < s.width:
                            x[c, row, column] += col[k, i * s.out_width + j]
