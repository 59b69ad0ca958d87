"""Products of a few rows with a large matrix, which is read where it lies and never packed.

    C (M, N) = alpha op(A) op(B) + beta C,   M <= FEW:   2 M N K operations on 4 N K bytes

What some samples need of a fully connected layer: B is its weights. Below some ten rows the speed
is that of memory, above that of the multiply-add units; packing B, which reads it, writes it and
reads it again, would cost as much as either.

Where B is kept by columns (y = x W.T), each element of C is a scalar product of two contiguous
lines: ROWS columns of B at a time, which stay in the first-level cache while the rows of A go by
two by two. Where N is small and M is not, the two matrices change places; where both are, as in
the last layer of a classifier with ten classes, each element is a sum for itself.

Where B is kept by rows (dx = dy W), a block of C stays in the first-level cache, all its rows by
some columns, and ROWS rows of B are added to it at a time, times numbers of A. A is small, and is
packed in the order in which it is used.

The sum over K of an element is taken in the same order wherever the element lies. Threads share
the columns of C.
"""

import numpy as np
from numba import prange
from numpy.typing import NDArray

from minicaffe.machine.threads import num_threads

from .._compile.jit import inner, kernel
from .._vector.instructions import ROWS
from .._vector.scratch import CACHE_LINE, whole, workspace
from .few_rows_tile import DOTS, PAIR, add_row, add_rows, dots
from .matrix import Vectors
from .micro_kernel import COLUMNS
from .packing import pack

F32 = NDArray[np.float32]
Sizes = tuple[int, int, int]  # M, N, K
Factors = tuple[float, float]  # alpha, beta
Steps = tuple[int, int]

FEW = 32  # rows at most,
DEEP = 32  # and the sum so many times as long: what is done for each element of C is not much then
BLOCK = 2048  # floats of C that are summed at once

_PARALLEL_FROM = 64 * 1024  # multiplications below which one thread is faster


def serves(m: int, n: int, k: int, trans_a: bool, trans_b: bool) -> bool:
    """Whether this file is faster for such a product than packing."""
    if trans_b:
        few, many, least = min(m, n), max(m, n), 1
    else:
        few, many, least = m, n, COLUMNS
    return 0 < few <= FEW and k >= DEEP * few and many >= least and not (trans_a and trans_b)


def multiply(
    a: F32, b: F32, c: F32, trans_a: bool, trans_b: bool, alpha: float, beta: float
) -> None:
    """C = alpha op(A) op(B) + beta C."""
    m, n = c.shape
    k = a.size // m
    threads = num_threads() if m * n * k >= _PARALLEL_FROM else 1
    factors = float(alpha), float(beta)  # which Numba takes faster than NumPy's numbers
    a, b, c = a.ravel(), b.ravel(), c.ravel()
    if trans_b and max(m, n) < ROWS:
        (_each if threads > 1 else _each.on_one_thread)((m, n, k), factors, a, b, c)
    elif trans_b:
        few = min(m, n)
        along = _by_columns if threads > 1 else _by_columns.on_one_thread
        work = workspace(threads * whole((few + 1) * DOTS, CACHE_LINE))
        if m <= n:
            along((m, n, k), factors, a, b, c, (n, 1), threads, work)
        else:
            along((n, m, k), factors, b, a, c, (1, n), threads, work)
    else:
        across = _by_rows if threads > 1 else _by_rows.on_one_thread
        a_steps = (1, m) if trans_a else (k, 1)
        block = max(BLOCK // m // COLUMNS, 1) * COLUMNS
        work = workspace(threads * whole(m * (k + ROWS + block), CACHE_LINE))
        across((m, n, k), factors, a, a_steps, b, c, block, threads, work)


@kernel
def _each(sizes: Sizes, factors: Factors, a: F32, b: F32, c: F32) -> None:
    """A and B are kept along k, a few rows of either."""
    _, n, k = sizes
    scale, keep = np.float32(factors[0]), np.float32(factors[1])
    for at in prange(c.size):
        first, second = a[at // n * k : at // n * k + k], b[at % n * k : at % n * k + k]
        total = np.float32(0)
        for i in range(k):
            total += first[i] * second[i]
        c[at] = scale * total + (keep * c[at] if keep != 0 else np.float32(0))


@kernel
def _by_columns(
    sizes: Sizes, factors: Factors, a: F32, b: F32, c: F32, c_steps: Steps, parts: int, work: F32
) -> None:
    """C[i, j] is c[i * c_steps[0] + j * c_steps[1]]; A and B are kept along k."""
    m, n, k = sizes
    c_row, c_column = c_steps
    wide = ((n + parts - 1) // parts + ROWS - 1) // ROWS * ROWS
    share = work.size // parts // CACHE_LINE * CACHE_LINE
    scale, keep = np.float32(factors[0]), np.float32(factors[1])
    for part in prange(parts):
        sums = part * share
        for j in range(part * wide, min(n, part * wide + wide), ROWS):
            first = min(j, n - ROWS)  # the last columns overlap the ones before
            for i in range(0, m, PAIR):
                step = k if i + 1 < m else 0  # the last row alone stands for two
                dots(k, a, i * k, step, b, first * k, k, work, sums + i * DOTS)
            for i in range(m):
                for column in range(j - first, ROWS):
                    at = i * c_row + (first + column) * c_column
                    old = keep * c[at] if keep != 0 else np.float32(0)
                    c[at] = scale * work[sums + i * DOTS + column] + old


@kernel
def _by_rows(
    sizes: Sizes, factors: Factors, a: F32, a_steps: Steps, b: F32, c: F32,
    block: int, parts: int, work: F32,
) -> None:  # fmt: skip
    """A[i, k] is a[i * a_steps[0] + k * a_steps[1]]; B and C are kept by rows."""
    m, n, k = sizes
    a_step, a_k = a_steps
    wide = ((n + parts - 1) // parts + COLUMNS - 1) // COLUMNS * COLUMNS
    share = work.size // parts // CACHE_LINE * CACHE_LINE
    scale, keep = np.float32(factors[0]), np.float32(factors[1])
    for part in prange(parts):
        packed = part * share
        sums = packed + m * (k + ROWS)
        j, end = part * wide, min(n, part * wide + wide)
        if j < end:
            pack(Vectors(a, 0, a_k, a_step), k, m, int(ROWS), work, packed, m)
        while j < end:
            width = min(block, max((end - j) // COLUMNS, 1) * COLUMNS)
            first = min(j, n - width)  # the last columns overlap the ones before
            _sum_rows(m, width, k, work, packed, b, first, n, work, sums)
            for i in range(m):
                to, source = i * n + first, sums + i * width
                for column in range(j - first, width):
                    old = keep * c[to + column] if keep != 0 else np.float32(0)
                    c[to + column] = scale * work[source + column] + old
            j = first + width


@inner
def _sum_rows(
    m: int, width: int, k: int, a: F32, a0: int, b: F32, b0: int, b_step: int, c: F32, c0: int
) -> None:
    """C (m, width) = A B, for A in panels of ROWS columns; `width` is a multiple of COLUMNS."""
    for at in range(c0, c0 + m * width):
        c[at] = 0
    smooth = k // ROWS * ROWS
    for row in range(0, smooth, ROWS):
        for j in range(0, width, COLUMNS):
            add_rows(m, a, a0 + row * m, b, b0 + row * b_step + j, b_step, c, c0 + j, width)
    for row in range(smooth, k):
        factors = a0 + smooth * m + row - smooth
        for j in range(0, width, COLUMNS):
            add_row(m, a, factors, b, b0 + row * b_step + j, b_step, c, c0 + j, width)
