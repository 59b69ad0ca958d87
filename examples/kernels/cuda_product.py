"""The matrix product C = A B on a GPU in steps, from a thread a number to tensor cores.

A (M, K), B (K, N) and C (M, N) are rows of float32; here all three are N x N, N a multiple of 64,
so that no step needs an edge. What a step changes is which thread does what, and from where it
takes its operands: from memory (a warp's request moves sectors of 32 bytes), from shared memory (32
banks of 4 bytes: numbers of one bank in different rows are read in turns), or from registers. Costs
are for each multiply-add.

`kernel` is the decorator of the device `cuda` (kernels/cuda/_compile/jit.py); docs/cuda.md has the
words of a kernel. Without a GPU all of this runs in the emulator, which counts as a profiler does.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from inspect import getdoc
from typing import Any

from minicaffe.kernels.cuda import gemm
from minicaffe.kernels.cuda._array import DeviceArray
from minicaffe.kernels.cuda._compile.jit import kernel
from minicaffe.kernels.cuda._compile.words import (
    F32,
    blockIdx,
    copies_commit,
    copies_wait,
    copy_async,
    copy_async4,
    grid,
    load4,
    local,
    shared,
    store4,
    syncthreads,
    threadIdx,
)
from minicaffe.kernels.cuda._tiles import LARGE

LEAST = 64  # the side of the largest tile: N is a multiple of it

SQUARE = 16  # side of a tile of one number a thread, and its depth
SIDE = 64  # side of a tile of 8 x 8 numbers a thread
DEPTH = 8  # of the panels of such a tile
EACH = 8  # numbers of a thread along either side
THREADS = 8  # threads along either side
PITCH = SIDE + 4  # from row to row of a panel that is turned: what is written lies in more banks
HALF = SIDE // 2


@dataclass(frozen=True)
class CudaStep:
    """A function of (a, b, c), whose docstring says what is new in it, and its costs."""

    name: str
    run: Callable[[Any, Any, Any], None]
    bound: float = 1e-5  # of the relative error

    @property
    def text(self) -> str:
        """The docstring."""
        return getdoc(self.run) or ""


# ---- 1 and 2: a thread for each number of C


def down_the_columns(a: DeviceArray, b: DeviceArray, c: DeviceArray) -> None:
    """A thread makes a number of C; neighbouring threads make numbers of one column.

    The 32 threads of a warp read 32 rows of A at once: 32 sectors are moved for a request that
    wants 4 bytes of each. Two loads and their addresses for one multiply-add.
    """
    _down_the_columns.over(c.size)(a, b, c)


@kernel
def _down_the_columns(a: F32, b: F32, c: F32) -> None:
    i, j = grid() % c.shape[0], grid() // c.shape[0]
    total = 0.0
    for k in range(a.shape[1]):
        total += a[i, k] * b[k, j]
    c[i, j] = total


def along_the_rows(a: DeviceArray, b: DeviceArray, c: DeviceArray) -> None:
    """The same; neighbouring threads make numbers of one row.

    A warp now reads one number of A, which all its threads share, and 32 numbers of B side by side:
    4 sectors, each used whole. Nothing but `%` and `//` have changed places.
    """
    _along_the_rows.over(c.size)(a, b, c)


@kernel
def _along_the_rows(a: F32, b: F32, c: F32) -> None:
    i, j = grid() // c.shape[1], grid() % c.shape[1]
    total = 0.0
    for k in range(a.shape[1]):
        total += a[i, k] * b[k, j]
    c[i, j] = total


# ---- 3: shared memory


def shared_tiles(a: DeviceArray, b: DeviceArray, c: DeviceArray) -> None:
    """A block makes a tile of 16 x 16; what its threads read in common lies in shared memory.

    Each thread brings one number of A and one of B, all wait, then each multiplies 16 pairs. From
    memory a number comes once for 16 multiply-adds instead of once for each. But a multiply-add
    still needs a number of either, now from shared memory (the compiler reads A's by fours).
    """
    tiles = c.shape[1] // SQUARE, c.shape[0] // SQUARE
    _shared_tiles[tiles, (SQUARE, SQUARE)](a, b, c)


@kernel
def _shared_tiles(a: F32, b: F32, c: F32) -> None:
    x, y = threadIdx.x, threadIdx.y
    i, j = blockIdx.y * SQUARE + y, blockIdx.x * SQUARE + x
    a_tile, b_tile = shared((SQUARE, SQUARE)), shared((SQUARE, SQUARE))
    total = 0.0
    for first in range(0, a.shape[1], SQUARE):
        a_tile[y, x] = a[i, first + x]
        b_tile[y, x] = b[first + y, j]
        syncthreads()
        for k in range(SQUARE):
            total += a_tile[y, k] * b_tile[k, x]
        syncthreads()
    c[i, j] = total


# ---- 4 to 6: registers


def register_tile(a: DeviceArray, b: DeviceArray, c: DeviceArray) -> None:
    """A thread makes 8 x 8 numbers of C in registers, a block 64 x 64.

    16 numbers that are read from shared memory make 64 products: a quarter of a load for a
    multiply-add instead of two. But threads of a warp now read rows of A that are 8 x 8 numbers
    apart, all in one bank: such a request takes several passes.
    """
    tiles = c.shape[1] // SIDE, c.shape[0] // SIDE
    _register_tile[tiles, (THREADS, THREADS)](a, b, c)


@kernel
def _register_tile(a: F32, b: F32, c: F32) -> None:
    x, y = threadIdx.x, threadIdx.y
    row, column = blockIdx.y * SIDE, blockIdx.x * SIDE
    thread = y * THREADS + x
    a_panel, b_panel = shared((SIDE, DEPTH)), shared((DEPTH, SIDE))
    total, a_own, b_own = local((EACH, EACH)), local(EACH), local(EACH)
    for r in range(EACH):
        for s in range(EACH):
            total[r, s] = 0.0
    for first in range(0, a.shape[1], DEPTH):
        for e in range(EACH):
            a_panel[e * THREADS + y, x] = a[row + e * THREADS + y, first + x]
            b_panel[e, thread] = b[first + e, column + thread]
        syncthreads()
        for k in range(DEPTH):
            for e in range(EACH):
                a_own[e] = a_panel[y * EACH + e, k]
                b_own[e] = b_panel[k, x * EACH + e]
            for r in range(EACH):
                for s in range(EACH):
                    total[r, s] += a_own[r] * b_own[s]
        syncthreads()
    for r in range(EACH):
        for s in range(EACH):
            c[row + y * EACH + r, column + x * EACH + s] = total[r, s]


def wide_loads(a: DeviceArray, b: DeviceArray, c: DeviceArray) -> None:
    """The same tile, read 128 bits at a time; the panel of A is turned when it is written.

    With the depth along the first axis of both panels, a thread's numbers lie side by side: two
    loads of four numbers for A, two for B. Its 8 rows are two groups of 4, half a tile apart, and
    so are its columns: then the threads of a warp read neighbouring fours, of different banks.
    """
    tiles = c.shape[1] // SIDE, c.shape[0] // SIDE
    _wide_loads[tiles, (THREADS, THREADS)](a, b.reshape(-1), c.reshape(-1), c.shape[1])


@kernel
def _wide_loads(a: F32, b: F32, c: F32, n: int) -> None:
    x, y = threadIdx.x, threadIdx.y
    row, column = blockIdx.y * SIDE, blockIdx.x * SIDE
    thread = y * THREADS + x
    down, across = thread // SQUARE, thread % SQUARE * 4  # of the fours of B that a thread fetches
    a_panel, b_panel = shared(DEPTH * PITCH), shared(DEPTH * SIDE)
    total, a_own, b_own = local((EACH, EACH)), local(EACH), local(EACH)
    for r in range(EACH):
        for s in range(EACH):
            total[r, s] = 0.0
    for first in range(0, n, DEPTH):
        for e in range(EACH):
            a_panel[x * PITCH + e * THREADS + y] = a[row + e * THREADS + y, first + x]
        for e in range(0, DEPTH, 4):
            four = load4(b, (first + e + down) * n + column + across)
            store4(b_panel, (e + down) * SIDE + across, four)
        syncthreads()
        for k in range(DEPTH):
            for half in range(2):
                e, a_at, b_at = 4 * half, k * PITCH + half * HALF, k * SIDE + half * HALF
                a_own[e], a_own[e + 1], a_own[e + 2], a_own[e + 3] = load4(a_panel, a_at + y * 4)
                b_own[e], b_own[e + 1], b_own[e + 2], b_own[e + 3] = load4(b_panel, b_at + x * 4)
            for r in range(EACH):
                for s in range(EACH):
                    total[r, s] += a_own[r] * b_own[s]
        syncthreads()
    for r in range(EACH):
        for half in range(2):
            s, i = 4 * half, row + r // 4 * HALF + y * 4 + r % 4
            four = total[r, s], total[r, s + 1], total[r, s + 2], total[r, s + 3]
            store4(c, i * n + column + half * HALF + x * 4, four)


def in_the_background(a: DeviceArray, b: DeviceArray, c: DeviceArray) -> None:
    """Two panels of each: the next ones are copied while these are multiplied (cp.async).

    A copy goes from memory to shared memory past the registers, and nobody waits for it before the
    next step; a step needs one barrier instead of two. Nothing here shows the time that this saves:
    the counts are nearly the same, the waiting is gone.
    """
    tiles = c.shape[1] // SIDE, c.shape[0] // SIDE
    _in_the_background[tiles, (THREADS, THREADS)](
        a.reshape(-1), b.reshape(-1), c.reshape(-1), c.shape[1]
    )


@kernel
def _in_the_background(a: F32, b: F32, c: F32, n: int) -> None:
    x, y = threadIdx.x, threadIdx.y
    row, column = blockIdx.y * SIDE, blockIdx.x * SIDE
    thread = y * THREADS + x
    down, across = thread // SQUARE, thread % SQUARE * 4
    a_panel, b_panel = shared(2 * DEPTH * PITCH), shared(2 * DEPTH * SIDE)
    total, a_own, b_own = local((EACH, EACH)), local(EACH), local(EACH)
    for r in range(EACH):
        for s in range(EACH):
            total[r, s] = 0.0
    for step in range(n // DEPTH + 1):
        copies_wait(0)
        syncthreads()
        if step * DEPTH < n:  # fetch the panels of this step ...
            first, slot = step * DEPTH, step % 2 * DEPTH
            for e in range(EACH):
                i = e * THREADS + y
                copy_async(a_panel, (slot + x) * PITCH + i, a, (row + i) * n + first + x)
            for e in range(0, DEPTH, 4):
                at = (slot + e + down) * SIDE + across
                copy_async4(b_panel, at, b, (first + e + down) * n + column + across)
            copies_commit()
        if step > 0:  # ... and multiply those of the step before
            slot = (step - 1) % 2 * DEPTH
            for k in range(DEPTH):
                for half in range(2):
                    e, apart = 4 * half, half * HALF
                    a_at, b_at = (slot + k) * PITCH + apart, (slot + k) * SIDE + apart
                    a_own[e], a_own[e + 1], a_own[e + 2], a_own[e + 3] = load4(
                        a_panel, a_at + y * 4
                    )
                    b_own[e], b_own[e + 1], b_own[e + 2], b_own[e + 3] = load4(
                        b_panel, b_at + x * 4
                    )
                for r in range(EACH):
                    for s in range(EACH):
                        total[r, s] += a_own[r] * b_own[s]
    for r in range(EACH):
        for half in range(2):
            s, i = 4 * half, row + r // 4 * HALF + y * 4 + r % 4
            four = total[r, s], total[r, s + 1], total[r, s + 2], total[r, s + 3]
            store4(c, i * n + column + half * HALF + x * 4, four)


# ---- 7 and 8: the package's kernel


def package(a: DeviceArray, b: DeviceArray, c: DeviceArray) -> None:
    """The package's gemm, as it is for large matrices: a block of 256 threads makes 128 x 128.

    A number from memory is used 128 times instead of 64. Edges, transposition, alpha and beta are
    there too (kernels/cuda/gemm.py); small matrices get smaller tiles, to be more blocks.
    """
    gemm.launch(a, b, c, False, False, 1.0, 0.0, a.shape[1], LARGE)


def tensor_cores(a: DeviceArray, b: DeviceArray, c: DeviceArray) -> None:
    """The same tile with `-precision tf32`: a warp's instruction multiplies 16 x 8 by 8 x 8.

    1024 multiply-adds an instruction, 32 for a thread. Factors are rounded to 10 bits of mantissa
    first, sums stay float32: the error is that of the rounding (docs/cuda.md, Precision). What is
    left is to bring the factors: each is read from shared memory and rounded where it is used.
    """
    gemm.launch(a, b, c, False, False, 1.0, 0.0, a.shape[1], LARGE._replace(tensor=True))


STEPS = (
    CudaStep("a thread a number, down", down_the_columns),
    CudaStep("a thread a number, along", along_the_rows),
    CudaStep("tiles in shared memory", shared_tiles),
    CudaStep("8 x 8 sums in registers", register_tile),
    CudaStep("128 bits at a time", wide_loads),
    CudaStep("copies in the background", in_the_background),
    CudaStep("the package's gemm", package),
    CudaStep("tensor cores, TF32", tensor_cores, 2e-3),
)
