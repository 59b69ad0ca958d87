"""The matrix product C = A B in steps, M = N = K: 2 M N K floating point operations in each.

A (M, K), B (K, N) and C (M, N) are rows of float32, one row after the other. What changes from
step to step is the order of the same multiplications, and from where their operands come. Costs are
given for each multiply-add, in bytes that the innermost loop reads and writes.

`kernel` is the package's decorator (minicaffe/kernels/cpu/_compile/jit.py): Numba compiles the
function, `prange` marks the loop that threads would share. All steps here run on one thread but the
last.
"""

from __future__ import annotations

import numpy as np
from numba import prange

from minicaffe.kernels.cpu._compile.jit import kernel
from minicaffe.kernels.cpu._vector.instructions import LANES, ROWS
from minicaffe.kernels.cpu.gemm import gemm
from minicaffe.kernels.cpu.gemm.matrix import Column, PackedColumns, PackedRows, Rows, Vectors
from minicaffe.kernels.cpu.gemm.micro_kernel import COLUMNS, multiply_tall
from minicaffe.kernels.cpu.gemm.packing import (
    ROW_BLOCK,
    depth_block,
    multiply_packed,
    pack,
    pack_rows,
)

from .steps import F32, Problem, Step, aligned, scratch, whole

SIZE = 512
TINY = 32  # for the loops in Python
LEAST = max(16, COLUMNS)  # the least size that all steps can do

HIGH, WIDE, DEEP = 64, 512, 32  # blocks of `blocks`: rows of C, columns of C, numbers of each sum
ZERO = np.float32(0)


def problem(size: int) -> Problem:
    """Two random matrices, and NumPy's product of them."""
    random = np.random.default_rng(1)
    a, b = (aligned(random.standard_normal((size, size), np.float32)) for _ in "AB")
    return Problem((a, b), a @ b, 2 * size**3)


# ---- 1 to 3: the order of three loops


def python(a: F32, b: F32, c: F32) -> None:
    """Three loops in Python: the definition, C[i, j] = sum over k of A[i, k] B[k, j].

    Each number becomes an object, each operator looks up what to do with it: some hundred
    instructions for a multiply-add. Timed on matrices of 32 x 32, and scaled.
    """
    for i in range(a.shape[0]):
        for j in range(b.shape[1]):
            total = ZERO
            for k in range(a.shape[1]):
                total += a[i, k] * b[k, j]
            c[i, j] = total


@kernel
def compiled(a: F32, b: F32, c: F32) -> None:
    """The same loops, i-j-k, compiled by Numba.

    The innermost loop walks down a column of B: from one number to the next it is a whole row, so
    each read touches another cache line, of which 4 of 64 bytes are used, and the compiler cannot
    load a vector. Costs a multiply-add: 8 bytes of operands, but 64 bytes moved from the cache
    that holds B.
    """
    for i in prange(a.shape[0]):
        for j in range(b.shape[1]):
            total = ZERO
            for k in range(a.shape[1]):
                total += a[i, k] * b[k, j]
            c[i, j] = total


@kernel
def along_lines(a: F32, b: F32, c: F32) -> None:
    """The loops as i-k-j: the innermost one runs along a row of B and a row of C.

    The same sums, taken for a whole row of C at once. Neighbours in memory are used one after the
    other, so the compiler makes vectors of them: one instruction does LANES multiply-adds. Costs a
    multiply-add: B read, C read and written, 12 bytes; 4 of them, B's, from the cache that
    holds all of B.
    """
    for i in prange(a.shape[0]):
        out = c[i]
        out[:] = 0
        for k in range(a.shape[1]):
            factor, row = a[i, k], b[k]
            for j in range(out.size):
                out[j] += factor * row[j]


# ---- 4 and 5: where the operands come from


@kernel
def blocks(a: F32, b: F32, c: F32) -> None:
    """The loops i-k-j in blocks: DEEP x WIDE numbers of B are used for HIGH rows of C.

    The block of B (64 KB) is read from afar once, and HIGH times from the second-level cache. Costs
    a multiply-add: the same 12 bytes, but only 4 / HIGH of them from beyond the second level. It
    helps where the reads from afar were what took the time.
    """
    m, n, depth = a.shape[0], b.shape[1], a.shape[1]
    for block in prange((m + HIGH - 1) // HIGH):
        top, bottom = block * HIGH, min(block * HIGH + HIGH, m)
        c[top:bottom] = 0
        for j in range(0, n, WIDE):
            for start in range(0, depth, DEEP):
                for i in range(top, bottom):
                    out = c[i, j : j + WIDE]
                    for k in range(start, min(start + DEEP, depth)):
                        factor, row = a[i, k], b[k, j : j + WIDE]
                        for at in range(out.size):
                            out[at] += factor * row[at]


def register_tile(a: F32, b: F32, c: F32) -> None:
    """A tile of C, 2 x 2 sums over k, in registers; B is transposed first.

    C is no longer read and written for each multiply-add, but once. And what is loaded is used
    twice: two numbers of A and two of B make four products. Along k all lie in rows (that is what B
    is transposed for), so that each sum becomes a vector of partial sums. Costs a multiply-add: 4
    bytes. HIGH rows of A stay in the caches for all columns.
    """
    turned = scratch("transposed", b.size).reshape(b.shape[::-1])
    turned[...] = b.T
    _register_tile(a, turned, c)


@kernel
def _register_tile(a: F32, turned: F32, c: F32) -> None:
    m, n = a.shape[0], turned.shape[0]
    for block in prange((m + HIGH - 1) // HIGH):
        for column in range(0, n, 2):
            j = min(column, n - 2)  # the last tile begins so that it ends at the edge
            b0, b1 = turned[j], turned[j + 1]
            for row in range(block * HIGH, min(block * HIGH + HIGH, m), 2):
                i = min(row, m - 2)
                a0, a1 = a[i], a[i + 1]
                c00 = c01 = c10 = c11 = ZERO
                for k in range(a0.size):
                    c00 += a0[k] * b0[k]
                    c01 += a0[k] * b1[k]
                    c10 += a1[k] * b0[k]
                    c11 += a1[k] * b1[k]
                c[i, j], c[i, j + 1] = c00, c01
                c[i + 1, j], c[i + 1, j + 1] = c10, c11


# ---- 6 and 7: the package's micro-kernel


def micro_kernel(a: F32, b: F32, c: F32) -> None:
    """The package's tile of ROWS x COLUMNS sums, in vector instructions (gemm/micro_kernel.py).

    With AVX2 it is 6 x 16: twelve vectors of C in registers, and for each k two loads of B and six
    of A. Costs a multiply-add: (6 + 16) * 4 / 96 = 0.9 bytes. Only A is put in the order in which
    it is read; rows of B are read where they lie, N numbers apart. 64 bytes of each of many pages:
    the panel does not stay in the first-level cache, whose sets it does not fill evenly.
    """
    m, k, n = a.shape[0], *b.shape
    tops = [min(i, m - ROWS) for i in range(0, m, ROWS)]
    panels = scratch("panels", len(tops) * k * ROWS).reshape(-1, k, ROWS)
    for panel, top in zip(panels, tops, strict=True):
        panel[...] = a[top : top + ROWS].T
    zero = scratch("zero", 1)
    _micro_kernel(m, n, k, panels.reshape(-1), b.reshape(-1), zero, c.reshape(-1))


@kernel
def _micro_kernel(m: int, n: int, k: int, a: F32, b: F32, start: F32, c: F32) -> None:
    for panel in prange((n + COLUMNS - 1) // COLUMNS):
        j = min(panel * COLUMNS, n - COLUMNS)
        for tile in range((m + ROWS - 1) // ROWS):
            i = min(tile * ROWS, m - ROWS)
            at = tile * k * ROWS
            multiply_tall(k, a, at, b, j, n, j, start, 0, 0, c, i * n + j, n, False)


def packing(a: F32, b: F32, c: F32) -> None:
    """Both matrices packed: panels in exactly the order in which the micro-kernel reads them.

    A panel of B, DEPTH_BLOCK x COLUMNS, is now one piece of memory: 20 KB that stay in the first
    level while ROW_BLOCK rows of A stream from the second. Costs a multiply-add: 0.67 bytes from
    the first level (B), 0.25 from the second (A); packing reads and writes K (M + N) numbers once.
    """
    m, k, n = a.shape[0], *b.shape
    packed = scratch("packed B", whole(n, COLUMNS) * k + LANES)
    deep = depth_block(k)
    each = whole((ROW_BLOCK + ROWS) * deep + ROWS * COLUMNS + LANES, 16)
    work = scratch("packed A", -(-m // ROW_BLOCK) * each)
    _pack_columns(n, k, b.reshape(-1), packed)
    _packing(m, n, k, deep, each, a.reshape(-1), packed, scratch("zero", 1), work, c.reshape(-1))


@kernel
def _pack_columns(n: int, k: int, b: F32, out: F32) -> None:
    for panel in prange((n + COLUMNS - 1) // COLUMNS):
        j = panel * COLUMNS
        pack(Vectors(b, j, 1, n), min(COLUMNS, n - j), k, int(COLUMNS), out, j * k, k)


@kernel
def _packing(
    m: int, n: int, k: int, deep: int, each: int, a: F32, b: F32, start: F32, work: F32, c: F32
) -> None:
    for block in prange((m + ROW_BLOCK - 1) // ROW_BLOCK):
        i = block * ROW_BLOCK
        high = min(ROW_BLOCK, m - i)
        tile = block * each  # a place to put tiles together that stick out of C
        panels = tile + ROWS * COLUMNS
        for k0 in range(0, k, deep):
            depth = min(deep, k - k0)
            pack_rows(Vectors(a, i * k + k0, k, 1), high, depth, work, panels, depth, 0)
            multiply_packed(
                depth, PackedRows(work, panels, depth, 0),
                PackedColumns(b, k0 * COLUMNS, COLUMNS * k, int(COLUMNS)),
                Column(start, 0, 0), Rows(c, i * n, high, n, n), k0 > 0, work, tile,
            )  # fmt: skip


# ---- 8 and 9: the whole


def package(a: F32, b: F32, c: F32) -> None:
    """The package's gemm: packing in blocks that fit the caches, low tiles at the edge.

    B is packed by blocks of DEPTH_BLOCK rows, just before they are used. On several threads C is
    cut into a grid of blocks, one a thread.
    """
    gemm(a, b, c)


def blas(a: F32, b: F32, c: F32) -> None:
    """NumPy's BLAS (OpenBLAS as a rule): the same blocks and panels, in assembler."""
    np.matmul(a, b, out=c)


def steps(threads: int) -> list[Step]:
    """All steps; on more than one thread, the package's gemm on all of them too."""
    found = [
        Step("three loops in Python", python, tiny=True),
        Step("compiled, i-j-k", compiled),
        Step("along lines, i-k-j", along_lines),
        Step("blocks in the cache", blocks),
        Step("2 x 2 sums in registers", register_tile),
        Step("micro-kernel, A packed", micro_kernel),
        Step("micro-kernel, A and B packed", packing),
        Step("the package's gemm", package),
        Step("NumPy's BLAS", blas),
    ]
    if threads > 1:
        found.append(Step(f"the package's gemm, {threads} threads", package, threads))
    return found
