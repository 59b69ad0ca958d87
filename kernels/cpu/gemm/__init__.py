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
reads and writes. The first time that a panel of B is used it is far away, in the second level or in
the third: so it is asked for while the one before it is used (`multiply_packed`). On a Xeon
(Sapphire Rapids, AVX-512, one thread) the loops over 2048 packed columns then run at 0.89 of the
micro-kernel's speed instead of 0.76, and how many columns a block has makes no difference.

The sum over K of each element is taken in the same order in every case, so that the bits of the
result depend neither on the number of threads nor on where the element lies.

Where one matrix has only a few rows, packing the other costs as much as the product:
`gemm/few_rows.py` does without. Where the sum is short, tiles are walked along C's rows, because
reading and writing C takes longest (`multiply_packed`).

Where columns would fill few of their panels, C.T is computed (`gemm/turned.py`).

Threads share C: its rows and columns are cut into a grid of blocks, one a thread, and each
thread does the product for its own block, packing included.
"""

from functools import lru_cache

import numpy as np
from numba import prange
from numpy.typing import NDArray

from minicaffe.errors import Error
from minicaffe.machine.threads import num_threads

from .._compile.jit import inlined, jitable, kernel, shared
from .._vector.instructions import LANES, ROWS
from .._vector.scratch import CACHE_LINE, whole, workspace
from . import few_rows, turned
from .matrix import Column, Items, PackedColumns, PackedRows, Rows, Vectors
from .micro_kernel import COLUMNS
from .packing import ROW_BLOCK, depth_block, multiply_packed, pack, pack_rows

F32 = NDArray[np.float32]
Sizes = tuple[int, int, int, int]  # items, M, N, K
Steps = tuple[int, int, int, int]  # the first number; floats to the next item, vector, and k

COLUMN_BLOCK = 64 * COLUMNS
JOINED = 400  # how deep items may become that are packed one after the other: two maps of 14 x 14

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
    if alpha != 0 and few_rows.serves(m, n, k, trans_a, trans_b):
        few_rows.multiply(a, b, c, trans_a, trans_b, alpha, beta)
        return
    a_at = (0, 0, 1, m) if trans_a else (0, 0, k, 1)
    b_at = (0, 0, k, 1) if trans_b else (0, 0, 1, n)
    factors = float(alpha), float(beta)
    if alpha != 0 and turned.is_better(m, n, k):
        _run_turned((m, n, k), factors, a.ravel(), a_at, b.ravel(), b_at, c)
    else:
        _run((1, m, n, k), factors, a.ravel(), a_at, b.ravel(), b_at, c.ravel(), 0)


def add_products(a: F32, b: F32, c: F32, group: int) -> None:
    """C[group] += the sum over n of A[n, group] B[n, group].T, on all threads.

    a (N, G, M, K), b (N, G, L, K), c (G, M, L), all contiguous: the gradient of the weights of a
    convolution by 1 x 1 filters, a layer of matrix products that is summed over images.
    """
    items, groups, m, k = a.shape
    n = b.shape[2]
    _run(
        (items, m, n, k), (1.0, 1.0), a.reshape(-1), (group * m * k, groups * m * k, k, 1),
        b.reshape(-1), (group * n * k, groups * n * k, k, 1), c.reshape(-1), group * m * n,
    )  # fmt: skip


def _run(
    sizes: Sizes, factors: tuple[float, float], a: F32, a_at: Steps, b: F32, b_at: Steps,
    c: F32, c0: int,
) -> None:  # fmt: skip
    """`multiply`, with C (m, n) from c0 on cut into blocks for the threads."""
    work = workspace(_work_size(sizes))
    _run_with(work, sizes, factors, a, a_at, b, b_at, c, c0)


def _run_turned(
    sizes: tuple[int, int, int], factors: tuple[float, float], a: F32, a_at: Steps,
    b: F32, b_at: Steps, c: F32,
) -> None:  # fmt: skip
    """C = alpha A B + beta C by way of C.T, which lies behind what `multiply` works with."""
    m, n, k = sizes
    other = (1, n, m, k)
    size = _work_size(other)
    work = workspace(size + m * n)
    _run_with(work[:size], other, (1.0, 0.0), b, b_at, a, a_at, work, size)
    turn = turned.turn_over if _threads(other) > 1 else turned.turn_over.on_one_thread
    turn(work, size, factors, c)


def _threads(sizes: Sizes) -> int:
    items, m, n, k = sizes
    return num_threads() if items * m * n * k >= _PARALLEL_FROM else 1


def _work_size(sizes: Sizes) -> int:
    """Floats for the threads that run a product."""
    return _threads(sizes) * work_size(*sizes)


def _run_with(
    work: F32, sizes: Sizes, factors: tuple[float, float], a: F32, a_at: Steps,
    b: F32, b_at: Steps, c: F32, c0: int,
) -> None:  # fmt: skip
    _, m, n, _ = sizes
    threads = _threads(sizes)
    blocks = grid(m, n, threads) if threads > 1 else (1, 1)
    run = _gemm if threads > 1 else _gemm.on_one_thread
    run(sizes, factors, a, a_at, b, b_at, c, c0, blocks, work)


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
    """How many items of depth k are packed one after the other."""
    return min(items, max(JOINED // max(k, 1), 1))


@lru_cache(maxsize=1024)
def work_size(items: int, m: int, n: int, k: int) -> int:
    """Floats of scratch that `multiply` needs for sums of (m, k) by (k, n) products."""
    rows = min(ROW_BLOCK, m) + ROWS
    columns = min(COLUMN_BLOCK, whole(n, COLUMNS))
    size = (
        CACHE_LINE
        + (rows + columns) * depth_block(k) * items_together(items, k)
        + ROWS * COLUMNS
        + LANES
    )
    return -(-size // CACHE_LINE) * CACHE_LINE


@shared
def multiply(
    items: Items, k: int, alpha: np.float32, beta: np.float32, a: Vectors, b: Vectors, c: Rows,
    work: F32, work0: int,
) -> None:  # fmt: skip
    """C = alpha times the sum of the items' products A B, + beta C, on one thread.

    The sums are over k. `work` has `work_size(items.number, m, n, k)` floats from `work0` on, which
    best is at a cache line. Items that are not deep are packed one after the other.
    """
    if beta != 1 and (beta != 0 or k == 0 or alpha == 0):
        _scale(c, beta)
    if alpha == 0:
        return
    block, together = depth_block(k), items_together(items.number, k)
    deep = block * together
    zero = work0
    work[zero] = 0
    packed_b = zero + CACHE_LINE
    tile = packed_b + min(COLUMN_BLOCK, (c.columns + COLUMNS - 1) // COLUMNS * COLUMNS) * deep
    packed_a = tile + ROWS * COLUMNS
    for j in range(0, c.columns, COLUMN_BLOCK):
        wide = min(COLUMN_BLOCK, c.columns - j)
        for item in range(0, items.number, together):
            last = min(item + together, items.number)
            for depth0 in range(0, k, block):
                depth = min(block, k - depth0)
                add = item > 0 or depth0 > 0 or beta != 0
                for at in range(item, last):
                    source = b.start + at * items.b_step + j * b.step + depth0 * b.k_step
                    to = packed_b + (at - item) * depth * COLUMNS
                    vectors = Vectors(b.values, source, b.step, b.k_step)
                    pack(vectors, wide, depth, int(COLUMNS), work, to, deep)
                for i in range(0, c.rows, ROW_BLOCK):
                    high = min(ROW_BLOCK, c.rows - i)
                    for at in range(item, last):
                        source = a.start + at * items.a_step + i * a.step + depth0 * a.k_step
                        vectors = Vectors(a.values, source, a.step, a.k_step)
                        k0 = (at - item) * depth
                        pack_rows(vectors, high, depth, work, packed_a, deep, k0)
                    if alpha != 1:
                        for at in range(packed_a, packed_a + (high + ROWS) * deep):
                            work[at] *= alpha
                    multiply_packed(
                        depth * (last - item), PackedRows(work, packed_a, deep, 0),
                        PackedColumns(work, packed_b, COLUMNS * deep, int(COLUMNS)),
                        Column(work, zero, 0),
                        Rows(c.values, c.start + i * c.step + j, high, wide, c.step),
                        add, work, tile,
                    )  # fmt: skip


@inlined
def _scale(c: Rows, factor: np.float32) -> None:
    """C *= factor; with factor 0, C is not read."""
    for i in range(c.rows):
        for j in range(c.columns):
            at = c.start + i * c.step + j
            c.values[at] = factor * c.values[at] if factor != 0 else np.float32(0)


@kernel
def _gemm(
    sizes: Sizes, factors: tuple[float, float], a: F32, a_at: Steps, b: F32, b_at: Steps,
    c: F32, c0: int, blocks: tuple[int, int], work: F32,
) -> None:  # fmt: skip
    """A block of C each thread."""
    items, m, n, k = sizes
    a0, a_item, a_step, a_k = a_at
    b0, b_item, b_step, b_k = b_at
    across, down = blocks
    high = ((m + down - 1) // down + ROWS - 1) // ROWS * ROWS
    wide = ((n + across - 1) // across + COLUMNS - 1) // COLUMNS * COLUMNS
    share = work.size // (down * across) // CACHE_LINE * CACHE_LINE
    for block in prange(down * across):
        i = block // across * high
        j = block % across * wide
        if i < m and j < n:
            multiply(
                Items(items, a_item, b_item), k, np.float32(factors[0]), np.float32(factors[1]),
                Vectors(a, a0 + i * a_step, a_step, a_k), Vectors(b, b0 + j * b_step, b_step, b_k),
                Rows(c, c0 + i * n + j, min(high, m - i), min(wide, n - j), n),
                work, block * share,
            )  # fmt: skip
