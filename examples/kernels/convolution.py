"""A convolution in steps: 2 N O C R R H W floating point operations (Winograd: fewer).

x (N, C, H, W), filters w (O, C, R, R), y (N, O, H, W): stride 1, and padding that keeps the size.

    y[n, o, i, j] = sum over c, r, s of  x[n, c, i + r - pad, j + s - pad] * w[o, c, r, s]

The default is CaffeNet's conv3 (256 channels, 384 outputs, 13 x 13 pixels, 3 x 3 taps).
"""

from __future__ import annotations

import numpy as np
from numba import prange

from minicaffe.kernels.cpu import convolution as package
from minicaffe.kernels.cpu._compile.jit import kernel
from minicaffe.kernels.cpu.convolution import direct
from minicaffe.kernels.cpu.convolution.plan import FORWARD, Plan
from minicaffe.kernels.cpu.gemm import gemm
from minicaffe.kernels.cpu.im2col import im2col
from minicaffe.kernels.reference import convolution as reference

from .steps import F32, Problem, Step, aligned, scratch

SHAPE = (4, 256, 384, 13, 3)  # images, channels, outputs, pixels of a line, taps of a line
TINY = (1, 4, 6, 8, 3)
ONES = (1, 1)
ZERO = np.float32(0)


def problem(shape: tuple[int, int, int, int, int]) -> Problem:
    """Random images and filters, and what NumPy makes of them."""
    images, channels, outputs, side, taps = shape
    random = np.random.default_rng(2)
    x = aligned(random.standard_normal((images, channels, side, side), np.float32))
    w = aligned(random.standard_normal((outputs, channels, taps, taps), np.float32))
    y = np.empty((images, outputs, side, side), np.float32)
    blas(x, w, y)
    return Problem((x, w), y, 2 * y.size * channels * taps**2)


def padded(x: F32, w: F32) -> F32:
    """The images with the zeros around them that the filters see."""
    pad = w.shape[2] // 2
    images, channels, height, width = x.shape
    shape = images, channels, height + 2 * pad, width + 2 * pad
    wide = scratch("padded", int(np.prod(shape))).reshape(shape)  # zeros, when it is new
    wide[:, :, pad : pad + height, pad : pad + width] = x
    return wide


def plan_of(x: F32, w: F32, y: F32, pad: int) -> Plan:
    """The package's plan of this convolution."""
    return package.plan(x.shape, y.shape, w.shape[2:], ONES, (pad, pad), ONES, 1)


# ---- the definition


def python(x: F32, w: F32, y: F32) -> None:
    """Seven loops in Python: the definition. Timed on a tiny shape, and scaled."""
    _seven(padded(x, w), w, y)


def _seven(x: F32, w: F32, y: F32) -> None:
    for plane in prange(y.shape[0] * y.shape[1]):
        n, o = plane // y.shape[1], plane % y.shape[1]
        for i in range(y.shape[2]):
            for j in range(y.shape[3]):
                total = ZERO
                for c in range(x.shape[1]):
                    for r in range(w.shape[2]):
                        for s in range(w.shape[3]):
                            total += x[n, c, i + r, j + s] * w[o, c, r, s]
                y[n, o, i, j] = total


def compiled(x: F32, w: F32, y: F32) -> None:
    """The same loops, compiled by Numba.

    The innermost loop has R turns: no vectors, and for each multiply-add a number of x and one of
    w, 8 bytes, are loaded.
    """
    _compiled(padded(x, w), w, y)


_compiled = kernel(_seven)


# ---- as a matrix product


def caffe(x: F32, w: F32, y: F32) -> None:
    """im2col, then a matrix product an image: Caffe's way.

        y (O, P) = w (O, K) @ col (K, P),     K = C R R,  P = H W

    col[k] is what tap k sees from each pixel: R R copies of the image. So the package's gemm does
    all the work; it costs K P numbers written by im2col, read and written again by gemm's packing.
    """
    outputs, pad = w.shape[0], w.shape[2] // 2
    depth, places = w[0].size, y[0, 0].size
    col = scratch("col", depth * places).reshape(1, depth, *y.shape[2:])
    for n in range(x.shape[0]):
        im2col(x[n : n + 1], col, w.shape[2:], ONES, (pad, pad), ONES)
        gemm(w.reshape(outputs, -1), col.reshape(depth, -1), y[n].reshape(outputs, -1))


def implicit_gemm(x: F32, w: F32, y: F32) -> None:
    """The same product, without col: panels are packed from the image (direct.py).

    What im2col writes is written once, as panels in the second-level cache, and used for all
    outputs. Filters are packed once for all images. Here the images come with padding already, so
    that taps see zeros, and are multiplied by them.
    """
    _implicit_gemm(padded(x, w), w, y, 0)


def without_padding(x: F32, w: F32, y: F32) -> None:
    """The same, and taps that see nothing but padding are left out.

    For a line of pixels at the upper edge, the taps of the filter's first row see zeros only. Rows
    of the filter come first in K, so that the taps to do are a contiguous range.
    """
    _implicit_gemm(x, w, y, w.shape[2] // 2)


def _implicit_gemm(x: F32, w: F32, y: F32, pad: int) -> None:
    plan = plan_of(x, w, y, pad)
    bias = scratch("bias", w.shape[0])
    direct.forward(plan, x, w, bias, y, scratch("implicit", direct.scratch_size(plan)))


# ---- with fewer multiplications


def minimal(x: F32, w: F32, y: F32) -> None:
    """Winograd's minimal filtering (winograd/lines.py): fewer multiplications for the same sums.

    Tiles of 4 x 4 outputs take 6 x 6 multiplications a channel instead of 144: a quarter, plus the
    transforms. The rate is that of the operations of the definition, so that it may be above the
    peak. MINICAFFE_WINOGRAD=exact takes tiles of 2 x 2 (16 multiplications instead of 36).
    """
    plan = plan_of(x, w, y, w.shape[2] // 2)
    work = scratch("package", package.scratch_size(plan))
    package.forward(plan, x, w, scratch("bias", w.shape[0]), y, work)


def blas(x: F32, w: F32, y: F32) -> None:
    """The device `reference`: im2col in NumPy, and NumPy's BLAS."""
    pad = w.shape[2] // 2
    plan = reference.plan(x.shape, y.shape, w.shape[2:], ONES, (pad, pad), ONES, 1)
    work = scratch("reference", reference.scratch_size(plan))
    reference.forward(plan, x, w, None, y, work)


def steps(threads: int, case: Problem) -> list[Step]:
    """All steps; Winograd's where the package takes it for this shape."""
    found = [
        Step("seven loops in Python", python, tiny=True),
        Step("compiled", compiled),
        Step("im2col and gemm", caffe),
        Step("implicit GEMM", implicit_gemm),
        Step("implicit GEMM, padding left out", without_padding),
    ]
    x, w = case.inputs
    if plan_of(x, w, case.expected, w.shape[2] // 2).ways[FORWARD].filtering >= 0:
        found.append(Step("Winograd", minimal))
    last = found[-1]
    found.append(Step("NumPy: im2col and BLAS", blas))
    if threads > 1:
        found.append(Step(f"{last.name}, {threads} threads", last.run, threads))
    return found
