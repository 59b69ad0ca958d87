"""What products in tiles of shared memory have in common: a block's tile of C, and a thread's part.

A block of 256 threads makes `rows` x `columns` of C = A B. It goes along the depth in steps of 8:
a panel of A (8, rows) and one of B (8, columns) lie in shared memory, and each thread reads a few
numbers of either, 128 bits at a time, and multiplies each with each. There is room for two panels
of both: while one is read the next is written, so that a step needs one barrier.

A thread's part of C is blocks of 4 x 4, `BLOCK` numbers side by side; there are 1 or 2 such blocks
along each side. With 8 x 8 numbers it reads 16 for 64 multiplications.
"""

from functools import cache
from typing import Any, NamedTuple

from ._compile.jit import inner
from ._compile.words import F32, load4, local

STEP = 8  # along the depth
THREADS = 256
BLOCK = 4
BUSY = 264  # blocks that keep a large GPU busy: two for each of its processors
GAP = 4  # between rows of a panel, so that 8 x 4 numbers side by side lie in 32 banks


class Tile(NamedTuple):
    """How a block's tile of C is cut: threads along each side, and what each of them has of C."""

    threads: tuple[int, int]  # 256 of them, rows x columns
    each: int  # rows, and columns, of a thread

    @property
    def rows(self) -> int:
        """Rows of C."""
        return self.threads[0] * self.each

    @property
    def columns(self) -> int:
        """Columns of C."""
        return self.threads[1] * self.each

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


@cache
def multiply(tile: Tile) -> Any:
    """`multiply(a_panel, b_panel, slot, row, column, total)`: add to a thread's part of C, (each,
    each), the products of two panels, those of a slot; row and column are its places among the
    threads."""
    each, (down, right) = tile.each, tile.threads
    a_pitch, b_pitch = tile.rows + GAP, tile.columns + GAP

    @inner
    def multiply(a_panel: F32, b_panel: F32, slot: int, row: int, column: int, total: F32) -> None:
        a, b = local(each), local(each)
        for p in range(STEP):
            for first in range(0, each, BLOCK):
                a_at = (slot * STEP + p) * a_pitch + row * BLOCK + first * down
                a[first], a[first + 1], a[first + 2], a[first + 3] = load4(a_panel, a_at)
                b_at = (slot * STEP + p) * b_pitch + column * BLOCK + first * right
                b[first], b[first + 1], b[first + 2], b[first + 3] = load4(b_panel, b_at)
            for r in range(each):
                for s in range(each):
                    total[r, s] += a[r] * b[s]

    return multiply


@inner
def place(at: int, part: int, threads: int) -> int:
    """Which row of the tile is the thread's number `at`, for its place `part` among the threads."""
    return at // BLOCK * BLOCK * threads + part * BLOCK + at % BLOCK
