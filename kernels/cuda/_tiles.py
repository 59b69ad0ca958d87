"""What products in tiles of shared memory have in common: a block's tile of C, and a thread's part.

A block of 256 threads makes `rows` x `columns` of C = A B. It goes along the depth in steps of 8:
a panel of A (8, rows) and one of B (8, columns) lie in shared memory, and each thread reads a few
numbers of either and multiplies each with each. There is room for two panels of both: while one is
read the next is written, so that a step needs one barrier.

A thread's part of C, `each` x `each`, is blocks of 4 x 4, `BLOCK` numbers side by side, read 128
bits at a time; with 8 x 8 numbers it reads 16 for 64 multiplications. On tensor cores, for
`-precision tf32`, a warp makes 16 x 8 numbers with an instruction, of which a thread has two pairs.
"""

from functools import cache
from typing import Any, NamedTuple

import numpy as np

from minicaffe.context import current

from ._compile.jit import inner
from ._compile.words import F32, WARP, load4, local, mma_tf32, tf32, threadIdx

STEP = 8  # along the depth
THREADS = 256
BLOCK = 4
BUSY = 264  # blocks that keep a large GPU busy: two for each of its processors


class Tile(NamedTuple):
    """How a block's tile of C is cut: threads along each side, and what each of them has of C."""

    threads: tuple[int, int]  # 256 of them, rows x columns
    each: int  # rows, and columns, of a thread
    tensor: bool = False  # whether tensor cores multiply

    @property
    def rows(self) -> int:
        """Rows of C."""
        return self.threads[0] * self.each

    @property
    def columns(self) -> int:
        """Columns of C."""
        return self.threads[1] * self.each

    @property
    def pitch(self) -> tuple[int, int]:
        """From row to row of a panel of A and of B, so that what a warp writes, 8 rows by 4 numbers
        (or what it reads for tensor cores, 4 by 8), lies in 32 banks."""
        gap = 8 if self.tensor else 4
        return self.rows + gap, self.columns + gap

    @property
    def sizes(self) -> tuple[int, int]:
        """Numbers of two panels of A, and of B."""
        a, b = self.pitch
        return 2 * STEP * a, 2 * STEP * b

    def cover(self, rows: int, columns: int) -> tuple[int, int]:
        """How many tiles a matrix has, downwards and to the right."""
        return -(-rows // self.rows), -(-columns // self.columns)

    def __str__(self) -> str:
        return f"{self.rows} x {self.columns}"


LARGE = Tile((16, 16), 8)
MIDDLE = Tile((16, 16), 4)
FLAT = Tile((8, 32), 4)


def tile_for(rows: int, columns: int, matrices: int = 1) -> Tile:
    """The tile for so many matrices of a size: large ones read least, small ones are more blocks.

    It knows nothing of the GPU, so that each gives the same bits.
    """
    if rows <= FLAT.rows:
        return FLAT
    down, right = LARGE.cover(rows, columns)
    return LARGE if rows > MIDDLE.rows and down * right * matrices >= BUSY // 2 else MIDDLE


def as_wanted(tile: Tile) -> Tile:
    """The same tile on tensor cores, if this thread's precision is tf32."""
    return tile._replace(tensor=current().precision == "tf32")


@cache
def multiply(tile: Tile) -> Any:
    """`multiply(a_panel, b_panel, slot, total)`: add to a thread's part of C, (each, each), the
    products of the two panels of a slot."""
    if tile.tensor:
        return _multiply_tf32(tile)
    each, (down, right), (a_pitch, b_pitch) = tile.each, tile.threads, tile.pitch

    @inner
    def multiply(a_panel: F32, b_panel: F32, slot: int, total: F32) -> None:
        row, column = threadIdx.x // right * BLOCK, threadIdx.x % right * BLOCK
        a, b = local(each), local(each)
        for p in range(STEP):
            for first in range(0, each, BLOCK):
                a_at = (slot * STEP + p) * a_pitch + row + first * down
                a[first], a[first + 1], a[first + 2], a[first + 3] = load4(a_panel, a_at)
                b_at = (slot * STEP + p) * b_pitch + column + first * right
                b[first], b[first + 1], b[first + 2], b[first + 3] = load4(b_panel, b_at)
            for r in range(each):
                for s in range(each):
                    total[r, s] += a[r] * b[s]

    return multiply


def _multiply_tf32(tile: Tile) -> Any:
    each, (a_pitch, b_pitch) = tile.each, tile.pitch
    row_of, column_of = places(tile)

    @inner
    def multiply(a_panel: F32, b_panel: F32, slot: int, total: F32) -> None:
        # of mma_tf32: g, t = lane // 4, lane % 4; pairs of rows are 8 apart, those of columns one
        g, t = threadIdx.x % WARP // 4, threadIdx.x % 4
        a_at, b_at = (slot * STEP + t) * a_pitch, (slot * STEP + t) * b_pitch + g
        b = local(each, np.uint32)
        for s in range(0, each, 2):
            at = b_at + column_of(s) - 2 * t
            b[s], b[s + 1] = tf32(b_panel[at]), tf32(b_panel[at + 4 * b_pitch])
        for r in range(0, each, 2):
            at = a_at + row_of(r)
            a = (
                tf32(a_panel[at]), tf32(a_panel[at + 8]),
                tf32(a_panel[at + 4 * a_pitch]), tf32(a_panel[at + 4 * a_pitch + 8]),
            )  # fmt: skip
            for s in range(0, each, 2):
                c = total[r, s], total[r, s + 1], total[r + 1, s], total[r + 1, s + 1]
                c = mma_tf32(a, (b[s], b[s + 1]), c)
                total[r, s], total[r, s + 1], total[r + 1, s], total[r + 1, s + 1] = c

    return multiply


@cache
def places(tile: Tile) -> tuple[Any, Any]:
    """`row_of(r)` and `column_of(s)`: where in the tile a thread's number [r, s] is."""
    each, (down, right) = tile.each, tile.threads
    warps = tile.columns // (4 * each)  # side by side, of 8 each x 4 each numbers

    @inner
    def row_of(r: int) -> int:
        return r // BLOCK * BLOCK * down + threadIdx.x // right * BLOCK + r % BLOCK

    @inner
    def column_of(s: int) -> int:
        return s // BLOCK * BLOCK * right + threadIdx.x % right * BLOCK + s % BLOCK

    @inner
    def row_of_pair(r: int) -> int:
        lane, warp = threadIdx.x % WARP, threadIdx.x // WARP // warps
        return warp * 8 * each + r // 2 * 16 + lane // 4 + r % 2 * 8

    @inner
    def column_of_pair(s: int) -> int:
        lane, warp = threadIdx.x % WARP, threadIdx.x // WARP % warps
        return warp * 4 * each + s // 2 * 8 + lane % 4 * 2 + s % 2

    return (row_of_pair, column_of_pair) if tile.tensor else (row_of, column_of)
