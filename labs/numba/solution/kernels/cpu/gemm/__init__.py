"""Matrix product, C += A B, in four ways; and gemm, which `multiply` hands to one of them.

    A (M, K), B (K, N), C (M, N): rows of float32, one after the other; 2 M N K operations

Each multiply-add needs a number of A, one of B and one of C. The ways do the same multiply-adds, in
another order, and so fetch their numbers from elsewhere:

    ijk       a column of B is walked down: a cache line moved for each number, no vectors
    ikj       rows of B and C are walked along: vectors, but C is read and written K times
    tile      SIDE x SIDE sums stay in registers for all of K: what is loaded is used SIDE times
    packed    tile, on pieces of A and B that fit the caches and are copied into reading order
"""

import numpy as np
from numba import prange
from numpy.typing import NDArray

from minicaffe.errors import Error

from .._compile.jit import inner, kernel

F32 = NDArray[np.float32]

SIDE = 3  # rows and columns of a tile: 9 sums, 3 vectors of B and one of A fit 16 registers
DEEP = 512  # of the sum over K that packed takes at once
WIDE = 96  # columns of B that packed takes at once: a panel of 192 KB, which stays in L2


@kernel
def ijk(a: F32, b: F32, c: F32) -> None:
    """C += A B: for each element of C, its sum over K, in a variable of its own."""
    for i in prange(a.shape[0]):
        for j in range(b.shape[1]):
            total = np.float32(0)
            for k in range(a.shape[1]):
                total += a[i, k] * b[k, j]
            c[i, j] += total


@kernel
def ikj(a: F32, b: F32, c: F32) -> None:
    """C += A B: for each row of C, A[i, k] times row k of B for one k after the other."""
    for i in prange(a.shape[0]):
        out = c[i]
        for k in range(a.shape[1]):
            factor, row = a[i, k], b[k]
            for j in range(out.size):
                out[j] += factor * row[j]


@inner
def dot(x: F32, y: F32) -> np.float32:
    """The sum of the products of two vectors of one length."""
    total = np.float32(0)
    for k in range(x.size):
        total += x[k] * y[k]
    return total


@inner
def add_tile(a: F32, turned: F32, c: F32, i: int, j: int, left: int) -> None:
    """Add SIDE x SIDE sums to C: of rows i, i + 1 ... of A with rows j, j + 1 ... of turned.

    The sum of rows i and j goes to C[i, left + j]. Each sum is a variable of its own, in one loop
    over K: so the compiler keeps them in registers.
    """
    a0, a1, a2 = a[i], a[i + 1], a[i + 2]
    b0, b1, b2 = turned[j], turned[j + 1], turned[j + 2]
    c00 = c01 = c02 = c10 = c11 = c12 = c20 = c21 = c22 = np.float32(0)
    for k in range(a0.size):
        c00 += a0[k] * b0[k]
        c01 += a0[k] * b1[k]
        c02 += a0[k] * b2[k]
        c10 += a1[k] * b0[k]
        c11 += a1[k] * b1[k]
        c12 += a1[k] * b2[k]
        c20 += a2[k] * b0[k]
        c21 += a2[k] * b1[k]
        c22 += a2[k] * b2[k]
    j += left
    c[i, j] += c00
    c[i, j + 1] += c01
    c[i, j + 2] += c02
    c[i + 1, j] += c10
    c[i + 1, j + 1] += c11
    c[i + 1, j + 2] += c12
    c[i + 2, j] += c20
    c[i + 2, j + 1] += c21
    c[i + 2, j + 2] += c22


@kernel
def tile(a: F32, turned: F32, c: F32, left: int) -> None:
    """Add A B to C[:, left : left + N], where turned (N, K) is B transposed.

    A (M, K). SIDE rows of C each turn: `add_tile` where whole tiles fit, `dot` for the rest.
    """
    m, n = a.shape[0], turned.shape[0]
    for block in prange((m + SIDE - 1) // SIDE):
        top = block * SIDE
        tiles = n // SIDE if top + SIDE <= m else 0
        for j in range(tiles):
            add_tile(a, turned, c, top, j * SIDE, left)
        for i in range(top, min(top + SIDE, m)):
            for j in range(tiles * SIDE, n):
                c[i, left + j] += dot(a[i], turned[j])


@kernel
def pack(source: F32, first: int, left: int, panel: F32) -> None:
    """Copy what `panel` (rows, columns) holds from source, whose corner is [first, left]."""
    for i in prange(panel.shape[0]):
        for j in range(panel.shape[1]):
            panel[i, j] = source[first + i, left + j]


@kernel
def pack_turned(source: F32, first: int, left: int, panel: F32) -> None:
    """Copy what `panel` holds, transposed: panel[j, i] is source[first + i, left + j]."""
    for j in prange(panel.shape[0]):
        for i in range(panel.shape[1]):
            panel[j, i] = source[first + i, left + j]


def packed(a: F32, b: F32, c: F32) -> None:
    """C += A B: for each DEEP of K, A's part is packed; for each WIDE of columns, B's, turned."""
    m, k = a.shape
    n = b.shape[1]
    for first in range(0, k, DEEP):
        deep = min(DEEP, k - first)
        rows = np.empty((m, deep), np.float32)
        pack(a, 0, first, rows)
        for left in range(0, n, WIDE):
            panel = np.empty((min(WIDE, n - left), deep), np.float32)
            pack_turned(b, first, left, panel)
            tile(rows, panel, c, left)


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

    As in BLAS, C is not read when beta is 0, and A and B are not read when alpha is 0. C must be
    contiguous. This is what InnerProduct and the N-d convolution call.
    """
    m, n = c.shape
    k = a.shape[0 if trans_a else 1]
    if not c.flags.c_contiguous:
        raise Error("gemm: the result must be a C-contiguous array")
    if a.shape != ((k, m) if trans_a else (m, k)) or b.shape != ((n, k) if trans_b else (k, n)):
        raise Error(
            f"gemm: A {a.shape} and B {b.shape} with trans_a={trans_a}, trans_b={trans_b} "
            f"do not give C {c.shape}"
        )
    if beta == 0:
        c[...] = 0
    elif beta != 1:
        c *= np.float32(beta)
    if alpha == 0:
        return
    left = np.ascontiguousarray(a.T if trans_a else a)
    right = np.ascontiguousarray(b.T if trans_b else b)
    multiply(left if alpha == 1 else np.float32(alpha) * left, right, c)


def multiply(a: F32, b: F32, c: F32) -> None:
    """C += A B, by the way that is fastest for matrices of these sizes."""
    if a.shape[0] < SIDE:
        ikj(a, b, c)
    else:
        packed(a, b, c)


def add_products(a: F32, b: F32, c: F32, group: int) -> None:
    """C[group] += the sum over n of A[n, group] B[n, group].T: weights of a 1 x 1 convolution.

    a (N, G, M, K), b (N, G, L, K), c (G, M, L), all contiguous.
    """
    for n in range(a.shape[0]):
        gemm(a[n, group], b[n, group], c[group], trans_b=True, beta=1)
