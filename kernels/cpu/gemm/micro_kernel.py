"""The vector micro-kernel: the one piece of arithmetic under gemm and convolution.

It computes a tile of C, ROWS by COLUMNS, as a sum of outer products:

    C[i, j] (+)= sum over k of  A[i, k] * B[k, j]        i < ROWS, j < COLUMNS

For one k it loads COLUMNS numbers of B into vector registers, and for each row i broadcasts
A[i, k] to a vector and adds the product to row i of the tile. The tile stays in registers for the
whole sum, so that one step of k costs ROWS * VECTORS fused multiply-adds, and only VECTORS loads
and ROWS broadcasts. The shape of the tile is a matter of registers: it must have enough
accumulators to keep both multiply-add units busy through their latency of four cycles (eight or
more), and A's broadcast and B's vectors must fit beside them:

    AVX-512   32 registers of 16 floats   12 x 2 vectors   24 + 2 + 1 registers
    AVX2      16 registers of  8 floats    6 x 2 vectors   12 + 2 + 1 registers
    NEON      32 registers of  4 floats    8 x 2 vectors   16 + 2 + 1 registers
    other     (SSE) vectors of 4 floats    4 x 2 vectors    8 + 2 + 1 registers

Few matrices have a multiple of ROWS rows, and a tile with rows that nobody wants takes as long as
a full one. So there is a low tile beside it, of LOW_ROWS (8, 4, 4 and 2) rows: with AVX2, 20 rows
are two tall and two low tiles, 32 rows four and two.

The functions are intrinsics (`_vector/instructions.py`), which emit the instructions of the tile in
Python loops over its rows and vectors. Beside each stands the same function as plain Python: it
says what the intrinsic does, and takes its place under NUMBA_DISABLE_JIT=1.
"""

from functools import partial
from typing import Any

import numpy as np
from numba import types
from numba.extending import intrinsic
from numpy.typing import NDArray

from .._compile.jit import DISABLED
from .._vector.instructions import INT, LANES, LOW_ROWS, ROWS, Emitter, constant
from .._vector.scratch import CACHE_LINE

F32 = NDArray[np.float32]
I64 = NDArray[np.int64]

VECTORS = 2
COLUMNS = VECTORS * LANES


# ---- the functions, in plain Python


def _multiply_panel(
    rows: int, depth: int, a: F32, a0: int, b: F32, b0: int, b_step: int, next0: int,
    start: F32, start0: int, start_step: int, c: F32, c0: int, c_step: int, add: bool,
) -> None:  # fmt: skip
    """C += A B, or C = start + A B, for a tile of C; start is a number for each row.

    A[i, k] is a[a0 + k * rows + i]: a packed panel. B[k, j] is b[b0 + k * b_step + j], C[i, j] is
    c[c0 + i * c_step + j], start[i] is start[start0 + i * start_step]; k < depth. So many rows of B
    from b[next0] on will be wanted soon.
    So many arguments, because the intrinsic has as many: numbers that it keeps in registers.
    """
    for i in range(rows):
        for j in range(COLUMNS):
            at = c0 + i * c_step + j
            total = np.float32(0) if add else start[start0 + i * start_step]
            for k in range(depth):
                total += a[a0 + k * rows + i] * b[b0 + k * b_step + j]
            c[at] = c[at] + total if add else total


def _multiply_tall(*args: Any) -> None:
    _multiply_panel(ROWS, *args)


def _multiply_low(*args: Any) -> None:
    _multiply_panel(LOW_ROWS, *args)


def _multiply_taps(
    height: int, width: int, x: F32, x0: int, x_step: int, taps: I64, t0: int,
    b: F32, b0: int, b_step: int, c: F32, c0: int, c_step: int,
) -> None:  # fmt: skip
    """C += A B for a tile of C, where row i of A is an image seen from a tap of a filter.

    k counts the positions (h, w) of a window of height * width. A[i, k] is
    x[x0 + taps[t0 + i] + h * x_step + w], B[k, j] is b[b0 + k * b_step + j]. So many arguments,
    because the intrinsic has as many: numbers that it keeps in registers.
    """
    for i in range(ROWS):
        for j in range(COLUMNS):
            total = np.float32(0)
            for h in range(height):
                for w in range(width):
                    k = h * width + w
                    total += x[x0 + taps[t0 + i] + h * x_step + w] * b[b0 + k * b_step + j]
            c[c0 + i * c_step + j] += total


# ---- the same, as LLVM instructions


class _Tile(Emitter):
    """Writes what is done with a whole tile, which is a list of rows * VECTORS vectors."""

    def __init__(self, context: Any, builder: Any, rows: int) -> None:
        super().__init__(context, builder)
        self.rows = rows

    def outer_product(self, tile: list[Any], a: list[Any], b: Any) -> None:
        """tile[i, :] += a[i] * b[:], for the addresses of numbers a and of a row of b."""
        row = [self.load(self.at(b, v * LANES)) for v in range(VECTORS)]
        for i in range(self.rows):
            factor = self.spread(self.builder.load(a[i]))
            for v in range(VECTORS):
                at = i * VECTORS + v
                tile[at] = self.multiply_add(factor, row[v], tile[at])

    def read(self, c: Any, c_step: Any) -> list[Any]:
        """The tile that is in C."""
        return [
            self.load(self.at(c, self.builder.mul(c_step, INT(i)), v * LANES))
            for i in range(self.rows)
            for v in range(VECTORS)
        ]

    def zeros(self) -> list[Any]:
        """A tile of zeros."""
        return [constant(0.0)] * (self.rows * VECTORS)

    def spread_rows(self, start: Any, start_step: Any) -> list[Any]:
        """A tile with one number in all of a row."""
        tile = []
        for i in range(self.rows):
            number = self.builder.load(self.at(start, self.builder.mul(start_step, INT(i))))
            tile += [self.spread(number)] * VECTORS
        return tile

    def sum(self, tile: list[Any], other: list[Any]) -> list[Any]:
        """The sum of two tiles."""
        return [self.builder.fadd(*pair) for pair in zip(tile, other, strict=True)]

    def expect(self, c: Any, c_step: Any) -> None:
        """Ask for C's cache lines, which are then there when the sums are done."""
        for i in range(self.rows):
            self.expect_row(c, c_step, INT(i))

    def expect_row(self, c: Any, c_step: Any, row: Any) -> None:
        """Ask for the cache lines of a row of C."""
        first = self.at(c, self.builder.mul(c_step, row))
        self.prefetch(first, to_write=True)
        self.prefetch(self.at(first, COLUMNS - 1), to_write=True)

    def write(self, tile: list[Any], c: Any, c_step: Any) -> None:
        """Put the tile into C."""
        for i in range(self.rows):
            row = self.at(c, self.builder.mul(c_step, INT(i)))
            for v in range(VECTORS):
                self.store(tile[i * VECTORS + v], self.at(row, v * LANES))


def _emit_panel(rows: int, context: Any, builder: Any, signature: Any, args: Any) -> Any:
    """The sum in as many parts as there are rows: with each a row of C and of B is asked for.

    All at once they would keep the loads of A and B waiting.
    """
    depth, a, a0, b, b0, b_step, next0, start, start0, start_step, c, c0, c_step, add = args
    kinds = signature.args
    e = _Tile(context, builder, rows)
    a_panel = e.at(e.data(kinds[1], a), a0)
    b_panel, b_next = (e.at(e.data(kinds[3], b), at) for at in (b0, next0))
    starts = e.at(e.data(kinds[7], start), start0)
    c_tile = e.at(e.data(kinds[10], c), c0)
    tile = e.choose(add, e.zeros, lambda: e.spread_rows(starts, start_step))
    with e.loop(INT(rows), tile) as (part, sums_so_far):
        e.expect_row(c_tile, c_step, part)
        for at in range(0, COLUMNS, CACHE_LINE):
            e.prefetch(e.at(b_next, builder.mul(part, b_step), at))
        first, last = (
            builder.sdiv(builder.mul(depth, builder.add(part, INT(one))), INT(rows))
            for one in (0, 1)
        )
        a_part = e.at(a_panel, builder.mul(first, INT(rows)))
        b_part = e.at(b_panel, builder.mul(first, b_step))
        with e.loop(builder.sub(last, first), sums_so_far) as (k, sums):
            a_column = e.at(a_part, builder.mul(k, INT(rows)))
            b_row = e.at(b_part, builder.mul(k, b_step))
            e.outer_product(sums, [e.at(a_column, i) for i in range(rows)], b_row)
    with builder.if_then(add):
        e.write(e.sum(tile, e.read(c_tile, c_step)), c_tile, c_step)
    with builder.if_then(builder.not_(add)):
        e.write(tile, c_tile, c_step)
    return context.get_dummy_value()


@intrinsic  # type: ignore[untyped-decorator]
def _tall_intrinsic(
    typing: Any, depth: Any, a: Any, a0: Any, b: Any, b0: Any, b_step: Any, next0: Any,
    start: Any, start0: Any, start_step: Any, c: Any, c0: Any, c_step: Any, add: Any,
) -> Any:  # fmt: skip
    """`_multiply_tall`. So many arguments, because each is a register of the innermost loop."""
    n = types.int64
    signature = types.void(n, a, n, b, n, n, n, start, n, n, c, n, n, types.boolean)
    return signature, partial(_emit_panel, ROWS)


@intrinsic  # type: ignore[untyped-decorator]
def _low_intrinsic(
    typing: Any, depth: Any, a: Any, a0: Any, b: Any, b0: Any, b_step: Any, next0: Any,
    start: Any, start0: Any, start_step: Any, c: Any, c0: Any, c_step: Any, add: Any,
) -> Any:  # fmt: skip
    """`_multiply_low`. So many arguments, because each is a register of the innermost loop."""
    n = types.int64
    signature = types.void(n, a, n, b, n, n, n, start, n, n, c, n, n, types.boolean)
    return signature, partial(_emit_panel, LOW_ROWS)


@intrinsic  # type: ignore[untyped-decorator]
def _taps_intrinsic(
    typing: Any, height: Any, width: Any, x: Any, x0: Any, x_step: Any, taps: Any, t0: Any,
    b: Any, b0: Any, b_step: Any, c: Any, c0: Any, c_step: Any,
) -> Any:  # fmt: skip
    """`_multiply_taps`. So many arguments, because each is a register of the innermost loop."""

    def emit(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        height, width, x, x0, x_step, taps, t0, b, b0, b_step, c, c0, c_step = args
        kinds = signature.args
        e = _Tile(context, builder, ROWS)
        image = e.at(e.data(kinds[2], x), x0)
        table = e.at(e.data(kinds[5], taps), t0)
        b_panel = e.at(e.data(kinds[7], b), b0)
        c_tile = e.at(e.data(kinds[10], c), c0)
        views = [e.at(image, builder.load(e.at(table, i))) for i in range(ROWS)]
        e.expect(c_tile, c_step)
        tile = e.zeros()
        with e.loop(height, tile) as (h, sums):
            line = builder.mul(h, x_step)
            b_line = e.at(b_panel, builder.mul(builder.mul(h, width), b_step))
            lines = [e.at(view, line) for view in views]
            with e.loop(width, sums) as (w, inner_sums):
                b_row = e.at(b_line, builder.mul(w, b_step))
                e.outer_product(inner_sums, [e.at(view, w) for view in lines], b_row)
        e.write(e.sum(tile, e.read(c_tile, c_step)), c_tile, c_step)
        return context.get_dummy_value()

    n = types.int64
    return types.void(n, n, x, n, n, taps, n, b, n, n, c, n, n), emit


multiply_tall: Any = _multiply_tall if DISABLED else _tall_intrinsic
multiply_low: Any = _multiply_low if DISABLED else _low_intrinsic
multiply_taps: Any = _multiply_taps if DISABLED else _taps_intrinsic
