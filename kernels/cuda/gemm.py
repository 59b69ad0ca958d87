"""Matrix product in tiles of shared memory (`_tiles.py`), which are filled in the background.

While a block multiplies a panel of op(A) with one of op(B), the next two are on their way: cp.async
copies them from memory to shared memory past the registers, and a step needs one barrier. A panel
has the depth along its first axis. Where an operand lies the same way (A transposed, B not), and
its rows begin at multiples of 16 bytes, a copy is of 16 bytes, else of 4, turned on its way; either
way neighbouring threads read neighbouring numbers. With tiles of 128 x 128 a number of A and of B
comes from memory once for 128 of C, and from shared memory once for 8. Where C is small and the
depth is not, a block sums a part of it (`_parts.py`): 64 x 500 outputs alone are 8 blocks.
"""

from functools import cache
from typing import Any

from . import memory
from ._array import DeviceArray
from ._compile.jit import Kernel, inner, kernel
from ._compile.words import (
    F32,
    blockIdx,
    copies_commit,
    copies_wait,
    copy_async,
    copy_async4,
    local,
    shared,
    store4,
    syncthreads,
    threadIdx,
)  # fmt: skip
from ._parts import add_parts, parts_for
from ._tiles import BLOCK, STEP, THREADS, Tile, as_wanted, multiply, places, tile_for


def gemm(
    a: DeviceArray,
    b: DeviceArray,
    c: DeviceArray,
    trans_a: bool = False,
    trans_b: bool = False,
    alpha: float = 1.0,
    beta: float = 0.0,
) -> None:
    """C = alpha op(A) op(B) + beta C, where op transposes if asked; op(A) (M, K), op(B) (K, N).

    As in BLAS, C is not read when beta is 0, and A and B are not read when alpha is 0.
    """
    rows, columns = c.shape
    depth = a.shape[0 if trans_a else 1] if alpha != 0 else 0
    launch(a, b, c, trans_a, trans_b, alpha, beta, depth, as_wanted(tile_for(rows, columns)))


def launch(
    a: DeviceArray, b: DeviceArray, c: DeviceArray, trans_a: bool, trans_b: bool,
    alpha: float, beta: float, depth: int, tile: Tile,
) -> None:  # fmt: skip
    """The same, for a depth, in such tiles."""
    down, across = tile.cover(*c.shape)
    parts = parts_for(down * across, depth)
    share = -(-depth // parts)
    product, result = _gemm(bool(trans_a), bool(trans_b), tile), c.reshape(-1)
    how = (*c.shape, depth), share, (_is_wide(a), _is_wide(b), _is_wide(c))
    operands, blocks = (a.reshape(-1), b.reshape(-1)), (across, down, parts)
    if parts == 1:
        product[blocks, THREADS](*operands, result, *how, float(alpha), float(beta))
        return
    sums = memory.scratch(c, parts * c.size)
    product[blocks, THREADS](*operands, sums, *how, 1.0, 0.0)
    add_parts.over(c.size)(sums, parts, result, float(alpha), float(beta))


def _is_wide(x: DeviceArray) -> bool:
    """Whether all rows begin at multiples of 16 bytes."""
    return x.address % 16 == 0 and x.shape[1] % BLOCK == 0


@cache
def _gemm(trans_a: bool, trans_b: bool, tile: Tile) -> Kernel:
    fetch_a = _fetch(trans_a, tile.rows, tile.pitch[0])
    fetch_b = _fetch(not trans_b, tile.columns, tile.pitch[1])
    multiply_panels, write = multiply(tile), _write(tile)
    tile_rows, tile_columns, each, (a_size, b_size) = tile.rows, tile.columns, tile.each, tile.sizes

    @kernel
    def gemm(
        a: F32, b: F32, c: F32, sizes: Any, share: int, wide: Any, alpha: float, beta: float
    ) -> None:
        rows, columns, depth = sizes
        row, column, part = blockIdx.y * tile_rows, blockIdx.x * tile_columns, blockIdx.z
        begin, end = part * share, min(depth, (part + 1) * share)
        a_panel, b_panel = shared(a_size), shared(b_size)
        total = local((each, each))
        for r in range(each):
            for s in range(each):
                total[r, s] = 0.0
        slot = 0  # of the panels that are fetched; the others are multiplied
        for k in range(begin, end + STEP, STEP):
            copies_wait(0)
            syncthreads()
            if k < end:
                fetch_a(a, a_panel, slot, row, rows, k, end, depth, wide[0])
                fetch_b(b, b_panel, slot, column, columns, k, end, depth, wide[1])
                copies_commit()
            if k > begin:
                multiply_panels(a_panel, b_panel, 1 - slot, total)
            slot = 1 - slot
        write(total, c, part * rows * columns, row, rows, column, columns, wide[2], alpha, beta)

    return gemm


@cache
def _fetch(along: bool, side: int, pitch: int) -> Any:
    """How a panel (8, side) is fetched: of x (depth, limit) where it lies `along`, else of x
    (limit, depth). What is outside is 0."""
    groups, loads, apart = side // BLOCK, side * STEP // THREADS, THREADS // STEP

    @inner
    def fetch(
        x: F32, panel: F32, slot: int, first: int, limit: int, k: int, end: int, depth: int,
        wide: bool,
    ) -> None:  # fmt: skip
        """Those from k on, and 0 from `end` on, which is the depth or that of a part."""
        t = threadIdx.x
        if along and wide:
            p, i = t // groups, t % groups * BLOCK
            if p < STEP:
                at = (slot * STEP + p) * pitch + i
                if k + p < end and first + i < limit:
                    copy_async4(panel, at, x, (k + p) * limit + first + i)
                else:
                    store4(panel, at, (0.0, 0.0, 0.0, 0.0))
            return
        for e in range(loads):
            if along:
                p, i = (t + e * THREADS) // side, (t + e * THREADS) % side
            else:
                p, i = t % STEP, t // STEP + e * apart
            at = (slot * STEP + p) * pitch + i
            if k + p < end and first + i < limit:
                of = (k + p) * limit + first + i if along else (first + i) * depth + k + p
                copy_async(panel, at, x, of)
            else:
                panel[at] = 0.0

    return fetch


@cache
def _write(tile: Tile) -> Any:
    """Loops of short bodies: what is not unrolled would lie in memory."""
    each, is_tensor, (row_of, column_of) = tile.each, tile.tensor, places(tile)

    @inner
    def write(
        total: F32, c: F32, begin: int, row: int, rows: int, column: int, columns: int, wide: bool,
        alpha: float, beta: float,
    ) -> None:  # fmt: skip
        """A thread's part of C."""
        for r in range(each):
            for s in range(each):
                total[r, s] *= alpha
        if beta != 0:
            for r in range(each):
                for s in range(each):
                    i, j = row + row_of(r), column + column_of(s)
                    if i < rows and j < columns:
                        total[r, s] += beta * c[begin + i * columns + j]
        if wide and not is_tensor:  # whose numbers are pairs
            for r in range(each):
                for s in range(0, each, BLOCK):
                    i, j = row + row_of(r), column + column_of(s)
                    if i < rows and j < columns:
                        four = total[r, s], total[r, s + 1], total[r, s + 2], total[r, s + 3]
                        store4(c, begin + i * columns + j, four)
        else:
            for r in range(each):
                for s in range(each):
                    i, j = row + row_of(r), column + column_of(s)
                    if i < rows and j < columns:
                        c[begin + i * columns + j] = total[r, s]

    return write
