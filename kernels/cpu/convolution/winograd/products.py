"""The products of Winograd's convolution: sums in chunks, for small errors.

Transforming a tile back makes rounding errors larger (winograd/transforms.py), so these products
sum more carefully than those of gemm.py: CHUNK products from zero on, and then the sums of chunks.
The error of a sum of n numbers grows with the square root of n; in chunks, it stays about that of
CHUNK numbers. It costs one more read and write of C a chunk, from the first-level cache: some 5 %.

A tile of C is made by rows of A from where they are, be it a panel or not, and a panel of B. There
are tall tiles and low ones, like in gemm/micro_kernel.py. C has room for the last tile's rows, and
for whole panels of columns, so that no tile sticks out.
"""

from typing import Any

import numpy as np
from numba import types
from numba.extending import intrinsic
from numpy.typing import NDArray

from ..._compile.jit import DISABLED, inner, jitable
from ..._vector.instructions import INT, LANES, LOW_ROWS, ROWS, Emitter, constant
from ...gemm.micro_kernel import COLUMNS, VECTORS
from ...gemm.packing import ROW_BLOCK, tall_rows

F32 = NDArray[np.float32]

CHUNK = 64
DEPTH_BLOCK = 4 * CHUNK  # so much of a panel of B is in the first-level cache


# ---- the functions, in plain Python


def _multiply_chunks(
    rows: int, depth: int, a: F32, a0: int, a_step: int, k_step: int, b: F32, b0: int,
    c: F32, c0: int, c_step: int, add: bool,
) -> None:  # fmt: skip
    """C = A B, or C += A B, for a tile of ROWS or LOW_ROWS rows and COLUMNS columns of C.

    A[i, k] is a[a0 + i * a_step + k * k_step], B[k, j] is b[b0 + k * COLUMNS + j], C[i, j] is
    c[c0 + i * c_step + j]; k < depth. Chunks of the sum over k are added one by one.
    """
    for first in range(0, depth, CHUNK):
        for i in range(rows):
            for j in range(COLUMNS):
                total = np.float32(0)
                for k in range(first, min(first + CHUNK, depth)):
                    total += a[a0 + i * a_step + k * k_step] * b[b0 + k * COLUMNS + j]
                at = c0 + i * c_step + j
                c[at] = c[at] + total if add or first > 0 else total


# ---- the same, as LLVM instructions


@intrinsic(prefer_literal=True)  # type: ignore[untyped-decorator]
def _chunks_intrinsic(
    typing: Any, rows: Any, depth: Any, a: Any, a0: Any, a_step: Any, k_step: Any, b: Any, b0: Any,
    c: Any, c0: Any, c_step: Any, add: Any,
) -> Any:  # fmt: skip
    """As many arguments as `_multiply_chunks`: it is instructions, not a call."""

    def emit(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        _, depth, a, a0, a_step, k_step, b, b0, c, c0, c_step, add = args
        kinds = signature.args
        e = Emitter(context, builder)
        a_step, k_step = (
            INT(kind.literal_value) if isinstance(kind, types.Literal) else value
            for kind, value in ((kinds[4], a_step), (kinds[5], k_step))
        )
        high = rows.literal_value
        a_tile = [e.at(e.data(kinds[2], a), a0, builder.mul(a_step, INT(i))) for i in range(high)]
        b_panel = e.at(e.data(kinds[6], b), b0)
        c_tile = [e.at(e.data(kinds[8], c), c0, builder.mul(c_step, INT(i))) for i in range(high)]
        for row in c_tile:
            e.prefetch(row, to_write=True)
        chunks = builder.sdiv(builder.add(depth, INT(CHUNK - 1)), INT(CHUNK))
        with e.loop(chunks, []) as (chunk, _):
            first = builder.mul(chunk, INT(CHUNK))
            rest = builder.sub(depth, first)
            count = builder.select(builder.icmp_signed("<", rest, INT(CHUNK)), rest, INT(CHUNK))
            a_chunk = [e.at(row, builder.mul(first, k_step)) for row in a_tile]
            b_chunk = e.at(b_panel, builder.mul(first, INT(COLUMNS)))
            sums = [constant(0.0)] * (high * VECTORS)
            with e.loop(count, sums) as (k, tile):
                at = e.at(b_chunk, builder.mul(k, INT(COLUMNS)))
                line = [e.load(e.at(at, v * LANES)) for v in range(VECTORS)]
                for i in range(high):
                    value = builder.load(e.at(a_chunk[i], builder.mul(k, k_step)))
                    factor = e.spread(value)
                    for v in range(VECTORS):
                        here = i * VECTORS + v
                        tile[here] = e.multiply_add(factor, line[v], tile[here])
            targets = [e.at(row, v * LANES) for row in c_tile for v in range(VECTORS)]
            adding = builder.or_(add, builder.icmp_signed(">", chunk, INT(0)))
            with builder.if_else(adding) as (then, otherwise):
                with then:
                    for vector, target in zip(sums, targets, strict=True):
                        e.store(builder.fadd(e.load(target), vector), target)
                with otherwise:
                    for vector, target in zip(sums, targets, strict=True):
                        e.store(vector, target)
        return context.get_dummy_value()

    n = types.int64
    steps = (
        (a_step if isinstance(a_step, types.Literal) else n),
        (k_step if isinstance(k_step, types.Literal) else n),
    )
    return types.void(rows, n, a, n, *steps, b, n, c, n, n, types.boolean), emit


multiply_chunks: Any = _multiply_chunks if DISABLED else _chunks_intrinsic


# ---- whole products


@jitable
def panel_at(row: int, depth: int) -> int:
    """Where the panel of packed filters begins that has a row first.

    After each is room for what a vector has beyond its end.
    """
    return row * depth + row // LOW_ROWS * LANES


@jitable
def panel_count(rows: int) -> int:
    """Into how many panels filters are packed."""
    tall = tall_rows(rows)
    return tall // ROWS + (max(rows - tall, 0) + LOW_ROWS - 1) // LOW_ROWS


@jitable
def panel_rows(panel: int, rows: int) -> tuple[int, int]:
    """The first row of a panel, and how many there are."""
    tall = tall_rows(rows)
    if panel * ROWS < tall:
        return panel * ROWS, ROWS
    return tall + (panel - tall // ROWS) * LOW_ROWS, LOW_ROWS


def rows_with_room(rows: int) -> int:
    """Rows of C, or of A, that the tiles of so many rows touch."""
    first, count = panel_rows(panel_count(rows) - 1, rows)
    return first + count


@inner
def multiply_packed_rows(
    rows: int, columns: int, depth: int, filters: F32, a: int, work: F32, b: int, b_panel: int,
    c: int, c_step: int,
) -> None:  # fmt: skip
    """C = A B; A in panels of `filters` (`panel_at`), B in panels of `work`, `b_panel` apart."""
    tall = tall_rows(rows)
    for k in range(0, depth, DEPTH_BLOCK):
        deep = min(DEPTH_BLOCK, depth - k)
        for top in range(0, rows, ROW_BLOCK):
            bottom = min(top + ROW_BLOCK, rows)
            for j in range(0, columns, COLUMNS):
                b_at = b + j // COLUMNS * b_panel + k * COLUMNS
                for i in range(top, min(bottom, tall), ROWS):
                    multiply_chunks(
                        ROWS, deep, filters, a + panel_at(i, depth) + k * ROWS, 1, ROWS,
                        work, b_at, work, c + i * c_step + j, c_step, k > 0,
                    )  # fmt: skip
                for i in range(max(top, tall), bottom, LOW_ROWS):
                    multiply_chunks(
                        LOW_ROWS, deep, filters, a + panel_at(i, depth) + k * LOW_ROWS,
                        1, LOW_ROWS,
                        work, b_at, work, c + i * c_step + j, c_step, k > 0,
                    )  # fmt: skip


@inner
def add_products_of_lines(
    rows: int, depth: int, work: F32, a: int, a_step: int, b: int, c: int, add: bool
) -> None:
    """C += A B, or C = A B, for lines of A, a panel of B, and C (rows, COLUMNS)."""
    tall = tall_rows(rows)
    for i in range(0, tall, ROWS):
        multiply_chunks(
            ROWS, depth, work, a + i * a_step, a_step, 1, work, b,
            work, c + i * COLUMNS, COLUMNS, add,
        )  # fmt: skip
    for i in range(tall, rows, LOW_ROWS):
        multiply_chunks(
            LOW_ROWS, depth, work, a + i * a_step, a_step, 1, work, b,
            work, c + i * COLUMNS, COLUMNS, add,
        )  # fmt: skip


@inner
def add_products_of_rows(
    rows: int, depth: int, work: F32, a: int, k_step: int, b: int, c: int, add: bool
) -> None:
    """The same for A whose columns are lines, `k_step` apart."""
    tall = tall_rows(rows)
    for i in range(0, tall, ROWS):
        multiply_chunks(
            ROWS, depth, work, a + i, 1, k_step, work, b, work, c + i * COLUMNS, COLUMNS, add
        )
    for i in range(tall, rows, LOW_ROWS):
        multiply_chunks(
            LOW_ROWS, depth, work, a + i, 1, k_step, work, b, work, c + i * COLUMNS, COLUMNS, add
        )
