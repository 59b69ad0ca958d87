"""Two more micro-kernels: for products of a few rows with a matrix that is used where it lies.

The micro-kernel of `gemm/micro_kernel.py` keeps a tile of C in registers and wants both matrices
packed. Where one of them has only a few rows, packing the other costs as much as the product. The
same registers, ROWS * VECTORS of them, then hold something else:

    dots        the sums of PAIR rows of A times ROWS rows of B, both contiguous along k: a vector
                of LANES partial sums for each pair. PAIR + ROWS loads for PAIR * ROWS multiply-adds
    add_rows    a tile of B, ROWS by COLUMNS: rows of C go by, and each gets the products of
                ROWS numbers of A with the tile. Two loads and two stores of C, and ROWS
                broadcasts, for ROWS * VECTORS multiply-adds

so that each number of B is loaded once for PAIR, or for all, rows. Beside each intrinsic stands the
same function as plain Python: it says what the intrinsic does, and takes its place under
NUMBA_DISABLE_JIT=1.
"""

from functools import partial
from typing import Any

import numpy as np
from numba import types
from numba.extending import intrinsic
from numpy.typing import NDArray

from .._compile.jit import DISABLED
from .._vector.instructions import INT, LANES, ROWS, Emitter, constant, lane_numbers
from .._vector.scratch import CACHE_LINE
from .micro_kernel import COLUMNS, VECTORS

F32 = NDArray[np.float32]

PAIR = 2
DOTS = (ROWS + LANES - 1) // LANES * LANES  # floats between the two rows of sums that `dots` writes


# ---- the functions, in plain Python


def _dots(
    depth: int, a: F32, a0: int, a_step: int, b: F32, b0: int, b_step: int, sums: F32, s0: int
) -> None:
    """sums[i, j] = the sum over k of A[i, k] * B[j, k], for i < PAIR, j < ROWS, k < depth.

    A[i, k] is a[a0 + i * a_step + k], B[j, k] is b[b0 + j * b_step + k]; depth >= LANES.
    sums[i, j] is sums[s0 + i * DOTS + j]; up to DOTS floats are written for each i.
    """
    for i in range(PAIR):
        for j in range(ROWS):
            total = np.float32(0)
            for k in range(depth):
                total += a[a0 + i * a_step + k] * b[b0 + j * b_step + k]
            sums[s0 + i * DOTS + j] = total


def _add_panel(
    deep: int, rows: int, a: F32, a0: int, b: F32, b0: int, b_step: int,
    c: F32, c0: int, c_step: int,
) -> None:  # fmt: skip
    """C (rows, COLUMNS) += A B, for A (rows, deep) and B (deep, COLUMNS).

    A[i, k] is a[a0 + i * ROWS + k], B[k, j] is b[b0 + k * b_step + j], C[i, j] is
    c[c0 + i * c_step + j].
    """
    for i in range(rows):
        for j in range(COLUMNS):
            for k in range(deep):
                c[c0 + i * c_step + j] += a[a0 + i * ROWS + k] * b[b0 + k * b_step + j]


def _add_rows(*args: Any) -> None:
    _add_panel(ROWS, *args)


def _add_row(*args: Any) -> None:
    _add_panel(1, *args)


# ---- the same, as LLVM instructions


@intrinsic  # type: ignore[untyped-decorator]
def _dots_intrinsic(
    typing: Any, depth: Any, a: Any, a0: Any, a_step: Any, b: Any, b0: Any, b_step: Any,
    sums: Any, s0: Any,
) -> Any:  # fmt: skip
    def emit(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        depth, a, a0, a_step, b, b0, b_step, sums, s0 = args
        kinds = signature.args
        e = Emitter(context, builder)
        a_lines, b_lines = e.at(e.data(kinds[1], a), a0), e.at(e.data(kinds[4], b), b0)
        a_rows = [e.at(a_lines, builder.mul(a_step, INT(i))) for i in range(PAIR)]
        b_rows = [e.at(b_lines, builder.mul(b_step, INT(j))) for j in range(ROWS)]
        totals = [constant(0.0)] * (PAIR * ROWS)

        def add(at: Any, totals: list[Any], counted: Any = None) -> None:
            """Add the products of LANES numbers of each row, without those counted before."""

            def numbers(row: Any) -> Any:
                vector = e.load(e.at(row, at))
                return builder.select(counted, constant(0.0), vector) if counted else vector

            x = [numbers(row) for row in a_rows]
            for j, row in enumerate(b_rows):
                y = numbers(row)
                for i in range(PAIR):
                    totals[i * ROWS + j] = e.multiply_add(x[i], y, totals[i * ROWS + j])

        vectors = builder.sdiv(depth, INT(LANES))
        with e.loop(vectors, totals) as (vector, sums_of_lanes):
            add(builder.mul(vector, INT(LANES)), sums_of_lanes)
        last = builder.sub(depth, INT(LANES))
        done = builder.sub(builder.mul(vectors, INT(LANES)), last)
        counted = builder.icmp_signed("<", lane_numbers(), e.spread(done, lane_numbers().type))

        def with_rest() -> list[Any]:
            found = list(totals)
            add(last, found, counted)
            return found

        rest = builder.icmp_signed("<", done, INT(LANES))
        totals = e.choose(rest, with_rest, lambda: totals)
        to = e.at(e.data(kinds[7], sums), s0)
        for i in range(PAIR):
            for j in range(0, ROWS, LANES):
                group = totals[i * ROWS + j : i * ROWS + min(j + LANES, ROWS)]
                e.store(_sums_of_each(e, group), e.at(to, i * DOTS + j))
        return context.get_dummy_value()

    n = types.int64
    return types.void(n, a, n, n, b, n, n, sums, n), emit


def _sums_of_each(e: Emitter, vectors: list[Any]) -> Any:
    """A vector of the sums of up to LANES vectors.

    In step s, two vectors of sums of s lanes each become one, of sums of 2 s lanes.
    """
    vectors = vectors + [constant(0.0)] * (LANES - len(vectors))
    s = 1
    while s < LANES:
        low = [(lane & ~s) + (LANES if lane & s else 0) for lane in range(LANES)]
        high = [lane + s for lane in low]
        vectors = [
            e.builder.fadd(e.shuffle(x, y, low), e.shuffle(x, y, high))
            for x, y in zip(vectors[::2], vectors[1::2], strict=True)
        ]
        s *= 2
    return vectors[0]


def _emit_rows(deep: int, context: Any, builder: Any, signature: Any, args: Any) -> Any:
    rows, a, a0, b, b0, b_step, c, c0, c_step = args
    kinds = signature.args
    e = Emitter(context, builder)
    a_rows, c_rows = e.at(e.data(kinds[1], a), a0), e.at(e.data(kinds[6], c), c0)
    b_tile = e.at(e.data(kinds[3], b), b0)
    b_rows = [e.at(b_tile, builder.mul(b_step, INT(k))) for k in range(deep)]
    tile = [[e.load(e.at(row, v * LANES)) for v in range(VECTORS)] for row in b_rows]
    for row in b_rows:
        for at in range(0, COLUMNS, CACHE_LINE):
            e.prefetch(e.at(row, builder.mul(b_step, INT(deep)), at))  # the tile below this one
    with e.loop(rows, []) as (i, _):
        factors = e.at(a_rows, builder.mul(i, INT(ROWS)))
        c_row = e.at(c_rows, builder.mul(i, c_step))
        sums = [e.load(e.at(c_row, v * LANES)) for v in range(VECTORS)]
        for k in range(deep):
            factor = e.spread(builder.load(e.at(factors, k)))
            sums = [e.multiply_add(factor, tile[k][v], sums[v]) for v in range(VECTORS)]
        for v in range(VECTORS):
            e.store(sums[v], e.at(c_row, v * LANES))
    return context.get_dummy_value()


@intrinsic  # type: ignore[untyped-decorator]
def _rows_intrinsic(
    typing: Any, rows: Any, a: Any, a0: Any, b: Any, b0: Any, b_step: Any,
    c: Any, c0: Any, c_step: Any,
) -> Any:  # fmt: skip
    n = types.int64
    return types.void(n, a, n, b, n, n, c, n, n), partial(_emit_rows, ROWS)


@intrinsic  # type: ignore[untyped-decorator]
def _row_intrinsic(
    typing: Any, rows: Any, a: Any, a0: Any, b: Any, b0: Any, b_step: Any,
    c: Any, c0: Any, c_step: Any,
) -> Any:  # fmt: skip
    n = types.int64
    return types.void(n, a, n, b, n, n, c, n, n), partial(_emit_rows, 1)


dots: Any = _dots if DISABLED else _dots_intrinsic
add_rows: Any = _add_rows if DISABLED else _rows_intrinsic
add_row: Any = _add_row if DISABLED else _row_intrinsic
