"""Matrix product: packed panels around the micro-kernel, 2 M N K floating point operations.

A product does M N K multiplications on M K + K N + M N numbers: each number is used hundreds of
times, and what matters is from where it is read. The loops are those of Goto and van de Geijn
("Anatomy of high-performance matrix multiplication", 2008), from the outside in:

    for each block of COLUMN_BLOCK columns of C                     (rarely more than one)
        for each block of DEPTH_BLOCK of the sum over K             pack B: DEPTH x COLUMNS, in L3
            for each block of ROW_BLOCK rows of C                   pack A: ROWS x DEPTH, in L2
                for each COLUMNS columns of C                       its panel of B stays in L1
                    for each ROWS rows of C                         its panel of A streams from L2
                        micro-kernel: a tile of C, DEPTH_BLOCK deep

so that the innermost loop reads B from the first-level cache and A from the second, and main memory
is read M / ROW_BLOCK times less often than it is used. Packing (gemm/packing.py) costs K (M + N)
reads and writes. The sum over K of each element is taken in the same order in every case, so that
the bits of the result depend neither on the number of threads nor on the place of the element.

Where one matrix has only a few rows, packing the other costs as much as the product:
`gemm/few_rows.py` does without. Where the sum is short, tiles are walked along C's rows, because
reading and writing C takes longest (`multiply_packed`).

Threads share C: its rows and columns are cut into a grid of blocks, one a thread, and each
thread does the product for its own block, packing included.
"""

from functools import lru_cache

import numpy as np
from numba import prange
from numpy.typing import NDArray

from minicaffe.errors import Error
from minicaffe.machine.threads import num_threads

from .._compile.jit import jitable, kernel, shared
from .._vector.instructions import LANES, ROWS
from .._vector.scratch import CACHE_LINE, workspace
from . import few_rows as thin
from .micro_kernel import COLUMNS
from .packing import ROW_BLOCK, depth_block, multiply_packed, pack, pack_rows

F32 = NDArray[np.float32]
Steps = tuple[int, int, int, int]  # the first number; floats to the next item, vector, and k

COLUMN_BLOCK = 64 * COLUMNS
JOINED = 400  # how deep items may become that are packed behind each other: two maps of 14 x 14

_PARALLEL_FROM = 64 * 1024  # multiplications below which one thread is faster


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
    contiguous.
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
    if alpha != 0 and thin.serves(m, n, k, trans_a, trans_b):
        thin.multiply(a, b, c, trans_a, trans_b, alpha, beta)
        return
    a_step, a_k = (1, m) if trans_a else (k, 1)
    b_step, b_k = (k, 1) if trans_b else (1, n)
    _run(
        1, m, n, k, alpha, beta, a.ravel(), (0, 0, a_step, a_k),
        b.ravel(), (0, 0, b_step, b_k), c.ravel(), 0,
    )  # fmt: skip


def add_products(a: F32, b: F32, c: F32, group: int) -> None:
    """C[group] += the sum over n of A[n, group] B[n, group].T, on all threads.

    a (N, G, M, K), b (N, G, L, K), c (G, M, L), all contiguous: the gradient of the weights of a
    convolution by 1 x 1 filters, a layer of matrix products that is summed over images.
    """
    items, groups, m, k = a.shape
    n = b.shape[2]
    _run(
        items, m, n, k, 1, 1, a.reshape(-1), (group * m * k, groups * m * k, k, 1),
        b.reshape(-1), (group * n * k, groups * n * k, k, 1), c.reshape(-1), group * m * n,
    )  # fmt: skip


def _run(
    items: int, m: int, n: int, k: int, alpha: float, beta: float,
    a: F32, a_at: Steps, b: F32, b_at: Steps, c: F32, c0: int,
) -> None:  # fmt: skip
    """`multiply`, with C (m, n) from c0 on cut into blocks for the threads."""
    threads = num_threads() if items * m * n * k >= _PARALLEL_FROM else 1
    across, down = grid(m, n, threads) if threads > 1 else (1, 1)
    run = _gemm if threads > 1 else _gemm.on_one_thread
    run(
        items, m, n, k, float(alpha), float(beta), a, *a_at, b, *b_at, c, c0,
        down, across, workspace(threads * work_size(items, m, n, k)),
    )  # fmt: skip


def grid(m: int, n: int, threads: int) -> tuple[int, int]:
    """How to cut C: (blocks of columns, blocks of rows), whose product is the number of threads.

    Of all such grids the one whose largest block has the fewest tiles, and then the one that
    packs least.
    """
    tiles_m, tiles_n = -(-m // ROWS), -(-n // COLUMNS)

    def cost(down: int) -> tuple[int, int]:
        high, wide = -(-tiles_m // down), -(-tiles_n // (threads // down))
        return high * wide, high * ROWS + wide * COLUMNS

    down = min((d for d in range(1, threads + 1) if threads % d == 0), key=cost)
    return threads // down, down


@jitable
def items_together(items: int, k: int) -> int:
    """How many items of depth k are packed behind each other."""
    return min(items, max(JOINED // max(k, 1), 1))


@lru_cache(maxsize=1024)
def work_size(items: int, m: int, n: int, k: int) -> int:
    """Floats of scratch that `multiply` needs for sums of (m, k) by (k, n) products."""
    rows = min(ROW_BLOCK, m) + ROWS
    columns = min(COLUMN_BLOCK, -(-n // COLUMNS) * COLUMNS)
    size = (
        CACHE_LINE
        + (rows + columns) * depth_block(k) * items_together(items, k)
        + ROWS * COLUMNS
        + LANES
    )
    return -(-size // CACHE_LINE) * CACHE_LINE


@shared
def multiply(
    items: int, m: int, n: int, k: int, alpha: np.float32, beta: np.float32,
    a: F32, a0: int, a_item: int, a_step: int, a_k: int,
    b: F32, b0: int, b_item: int, b_step: int, b_k: int,
    c: F32, c0: int, c_step: int, work: F32, work0: int,
) -> None:  # fmt: skip
    """C = alpha times the sum of the items' products A B, + beta C, on one thread.

    A[i, k] of an item is a[a0 + item * a_item + i * a_step + k * a_k], one of whose steps is 1;
    B[k, j] is b[b0 + item * b_item + j * b_step + k * b_k], likewise; C[i, j] is
    c[c0 + i * c_step + j]. `work` has `work_size(items, m, n, k)` floats from `work0` on, which
    best is at a cache line. Items that are not deep are packed behind each other.
    """
    if beta != 1 and (beta != 0 or k == 0 or alpha == 0):
        for i in range(m):
            for j in range(n):
                at = c0 + i * c_step + j
                c[at] = beta * c[at] if beta != 0 else np.float32(0)
    if alpha == 0:
        return
    block, together = depth_block(k), items_together(items, k)
    deep = block * together
    zero = work0
    work[zero] = 0
    packed_b = zero + CACHE_LINE
    tile = packed_b + min(COLUMN_BLOCK, (n + COLUMNS - 1) // COLUMNS * COLUMNS) * deep
    packed_a = tile + ROWS * COLUMNS
    for j in range(0, n, COLUMN_BLOCK):
        wide = min(COLUMN_BLOCK, n - j)
        for item in range(0, items, together):
            last = min(item + together, items)
            for depth0 in range(0, k, block):
                depth = min(block, k - depth0)
                add = item > 0 or depth0 > 0 or beta != 0
                for at in range(item, last):
                    source = b0 + at * b_item + j * b_step + depth0 * b_k
                    to = packed_b + (at - item) * depth * COLUMNS
                    pack(b, source, b_step, b_k, wide, depth, int(COLUMNS), work, to, deep)
                for i in range(0, m, ROW_BLOCK):
                    high = min(ROW_BLOCK, m - i)
                    for at in range(item, last):
                        source = a0 + at * a_item + i * a_step + depth0 * a_k
                        k0 = (at - item) * depth
                        pack_rows(a, source, a_step, a_k, high, depth, work, packed_a, deep, k0)
                    if alpha != 1:
                        for at in range(packed_a, packed_a + (high + ROWS) * deep):
                            work[at] *= alpha
                    multiply_packed(
                        high, wide, depth * (last - item), work, packed_a, deep, 0,
                        work, packed_b, COLUMNS * deep, int(COLUMNS), work, zero, 0,
                        c, c0 + i * c_step + j, c_step, add, work, tile,
                    )  # fmt: skip


@kernel
def _gemm(
    items: int, m: int, n: int, k: int, alpha: float, beta: float,
    a: F32, a0: int, a_item: int, a_step: int, a_k: int,
    b: F32, b0: int, b_item: int, b_step: int, b_k: int,
    c: F32, c0: int, down: int, across: int, work: F32,
) -> None:  # fmt: skip
    high = ((m + down - 1) // down + ROWS - 1) // ROWS * ROWS
    wide = ((n + across - 1) // across + COLUMNS - 1) // COLUMNS * COLUMNS
    share = work.size // (down * across) // CACHE_LINE * CACHE_LINE
    for block in prange(down * across):
        i = block // across * high
        j = block % across * wide
        if i < m and j < n:
            multiply(
                items, min(high, m - i), min(wide, n - j), k, np.float32(alpha), np.float32(beta),
                a, a0 + i * a_step, a_item, a_step, a_k,
                b, b0 + j * b_step, b_item, b_step, b_k,
                c, c0 + i * n + j, n, work, block * share,
            )  # fmt: skip
