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

ROWS is less than LANES or a multiple of it, which packing relies on.

Numba has no vector type. The functions here are therefore written as `@intrinsic`s, which emit the
LLVM instructions of the tile themselves, in Python loops over its rows and vectors. Beside each
stands the same function as plain Python: it says what the intrinsic does, and takes its place under
NUMBA_DISABLE_JIT=1. Matrices are flat arrays with a start and a step; nothing is checked.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import llvmlite.binding  # type: ignore[import-untyped]
import numpy as np
from llvmlite import ir
from numba import types
from numba.extending import intrinsic
from numpy.typing import NDArray

from ._jit import DISABLED, config

F32 = NDArray[np.float32]
I64 = NDArray[np.int64]


def _tile_shape() -> tuple[int, int, bool]:
    """Floats a vector, rows of the tile, and whether the processor has fused multiply-add."""
    if config.CPU_FEATURES is not None:
        named = config.CPU_FEATURES
    elif config.CPU_NAME == "generic":
        named = ""
    else:
        named = llvmlite.binding.get_host_cpu_features().flatten()
    features = set(named.split(","))
    if "+avx512f" in features:
        return 16, 12, True
    if {"+avx2", "+fma"} <= features:
        return 8, 6, True
    return (4, 8, True) if "+neon" in features else (4, 4, False)


LANES, ROWS, FUSED = _tile_shape()
VECTORS = 2
COLUMNS = VECTORS * LANES

_FLOAT = ir.FloatType()
_VECTOR = ir.VectorType(_FLOAT, LANES)
_INT = ir.IntType(64)


# ---- the functions, in plain Python


def _multiply_panels(
    depth: int,
    a: F32,
    a0: int,
    b: F32,
    b0: int,
    b_step: int,
    c: F32,
    c0: int,
    c_step: int,
    add: bool,
) -> None:
    """C = A B, or C += A B, for a tile of C.

    A[i, k] is a[a0 + k * ROWS + i]: a packed panel. B[k, j] is b[b0 + k * b_step + j], C[i, j] is
    c[c0 + i * c_step + j]; k < depth.
    """
    for i in range(ROWS):
        for j in range(COLUMNS):
            total = np.float32(0)
            for k in range(depth):
                total += a[a0 + k * ROWS + i] * b[b0 + k * b_step + j]
            at = c0 + i * c_step + j
            c[at] = c[at] + total if add else total


def _multiply_taps(
    height: int, width: int, x: F32, x0: int, x_step: int, taps: I64, t0: int,
    b: F32, b0: int, b_step: int, c: F32, c0: int, c_step: int,
) -> None:  # fmt: skip
    """C += A B for a tile of C, where row i of A is an image seen from a tap of a filter.

    k counts the positions (h, w) of a window of height * width. A[i, k] is
    x[x0 + taps[t0 + i] + h * x_step + w], B[k, j] is b[b0 + k * b_step + j].
    """
    for i in range(ROWS):
        for j in range(COLUMNS):
            total = np.float32(0)
            for h in range(height):
                for w in range(width):
                    k = h * width + w
                    total += x[x0 + taps[t0 + i] + h * x_step + w] * b[b0 + k * b_step + j]
            c[c0 + i * c_step + j] += total


def _transpose_lanes(
    count: int, source: F32, s0: int, s_step: int, target: F32, t0: int, t_step: int
) -> None:
    """target[k, i] = source[i, k] for i < count <= LANES, k < LANES.

    LANES numbers are written for each k; those with i >= count mean nothing.
    """
    for k in range(LANES):
        for i in range(LANES):
            target[t0 + k * t_step + i] = source[s0 + min(i, count - 1) * s_step + k]


def _copy_lanes(source: F32, s0: int, target: F32, t0: int) -> None:
    """Copy LANES numbers."""
    target[t0 : t0 + LANES] = source[s0 : s0 + LANES]


def _add_lanes(count: int, source: F32, s0: int, target: F32, t0: int) -> None:
    """Add `count` <= LANES numbers; the rest of LANES numbers is read, and written unchanged."""
    target[t0 : t0 + count] += source[s0 : s0 + count]


# ---- the same, as LLVM instructions


class _Emitter:
    """Writes instructions on vectors of LANES floats."""

    def __init__(self, context: Any, builder: Any) -> None:
        self.context = context
        self.builder = builder

    def data(self, array_type: Any, array: Any) -> Any:
        """The address of an array's first element."""
        return self.context.make_array(array_type)(self.context, self.builder, value=array).data

    def at(self, pointer: Any, *offsets: Any) -> Any:
        """The address `offsets` elements further; an offset is an int or a 64-bit value."""
        for offset in offsets:
            if isinstance(offset, int):
                offset = ir.Constant(_INT, offset)
            pointer = self.builder.gep(pointer, [offset])
        return pointer

    def load(self, pointer: Any) -> Any:
        """LANES floats from anywhere."""
        loaded = self.builder.load(self.builder.bitcast(pointer, _VECTOR.as_pointer()))
        loaded.align = 4
        return loaded

    def store(self, vector: Any, pointer: Any) -> None:
        """LANES floats to anywhere."""
        self.builder.store(vector, self.builder.bitcast(pointer, _VECTOR.as_pointer())).align = 4

    def broadcast(self, pointer: Any) -> Any:
        """A vector whose lanes are all the float at an address."""
        empty = ir.Constant(_VECTOR, ir.Undefined)
        first = ir.IntType(32)(0)
        one = self.builder.insert_element(empty, self.builder.load(pointer), first)
        lanes = ir.Constant(ir.VectorType(ir.IntType(32), LANES), [0] * LANES)
        return self.builder.shuffle_vector(one, empty, lanes)

    def multiply_add(self, x: Any, y: Any, total: Any) -> Any:
        """x * y + total, rounded once where the processor can."""
        if not FUSED:
            return self.builder.fadd(total, self.builder.fmul(x, y))
        name = f"llvm.fma.v{LANES}f32"
        module = self.builder.module
        function = module.globals.get(name) or ir.Function(
            module, ir.FunctionType(_VECTOR, [_VECTOR] * 3), name
        )
        return self.builder.call(function, [x, y, total])

    def shuffle(self, x: Any, y: Any, lanes: list[int]) -> Any:
        """A vector of lanes of x (0 ..) and y (LANES ..)."""
        picked = ir.Constant(ir.VectorType(ir.IntType(32), LANES), lanes)
        return self.builder.shuffle_vector(x, y, picked)

    def first_lanes(self, count: Any, vector: Any) -> Any:
        """The vector with zeros in its lanes from `count` on."""
        kind = ir.VectorType(_INT, LANES)
        empty = ir.Constant(kind, ir.Undefined)
        one = self.builder.insert_element(empty, count, ir.IntType(32)(0))
        limit = self.shuffle(one, empty, [0] * LANES)
        inside = self.builder.icmp_signed("<", ir.Constant(kind, list(range(LANES))), limit)
        return self.builder.select(inside, vector, ir.Constant(_VECTOR, [0.0] * LANES))

    @contextmanager
    def loop(self, count: Any, carried: list[Any]) -> Iterator[tuple[Any, list[Any]]]:
        """`for index in range(count)` with values carried from one turn to the next.

        Yields the index and the values at the start of a turn. The body replaces the values in
        the list it was given by those at its end; after the loop the list holds the results.
        """
        builder = self.builder
        before = builder.block
        head = builder.append_basic_block("loop.head")
        body = builder.append_basic_block("loop.body")
        after = builder.append_basic_block("loop.end")
        builder.branch(head)
        builder.position_at_end(head)
        index = builder.phi(_INT)
        index.add_incoming(_INT(0), before)
        phis = []
        for value in carried:
            phi = builder.phi(value.type)
            phi.add_incoming(value, before)
            phis.append(phi)
        builder.cbranch(builder.icmp_signed("<", index, count), body, after)
        builder.position_at_end(body)
        values = list(phis)
        yield index, values
        index.add_incoming(builder.add(index, _INT(1)), builder.block)
        for phi, value in zip(phis, values, strict=True):
            phi.add_incoming(value, builder.block)
        builder.branch(head)
        builder.position_at_end(after)
        carried[:] = phis

    def outer_product(self, tile: list[Any], a: list[Any], b: Any) -> None:
        """tile[i, :] += a[i] * b[:], for the addresses of ROWS numbers a and of a row of b."""
        row = [self.load(self.at(b, v * LANES)) for v in range(VECTORS)]
        for i in range(ROWS):
            factor = self.broadcast(a[i])
            for v in range(VECTORS):
                at = i * VECTORS + v
                tile[at] = self.multiply_add(factor, row[v], tile[at])

    def zeros(self) -> list[Any]:
        """A tile of zeros."""
        return [ir.Constant(_VECTOR, [0.0] * LANES)] * (ROWS * VECTORS)

    def write(self, tile: list[Any], c: Any, c_step: Any, add: bool) -> None:
        """Put the tile into C, or add it to what is there."""
        for i in range(ROWS):
            row = self.at(c, self.builder.mul(c_step, _INT(i)))
            for v in range(VECTORS):
                place = self.at(row, v * LANES)
                vector = tile[i * VECTORS + v]
                if add:
                    vector = self.builder.fadd(self.load(place), vector)
                self.store(vector, place)


@intrinsic  # type: ignore[untyped-decorator]
def _panels_intrinsic(
    typing: Any, depth: Any, a: Any, a0: Any, b: Any, b0: Any, b_step: Any,
    c: Any, c0: Any, c_step: Any, add: Any,
) -> Any:  # fmt: skip
    def emit(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        depth, a, a0, b, b0, b_step, c, c0, c_step, add = args
        kinds = signature.args
        e = _Emitter(context, builder)
        a_panel = e.at(e.data(kinds[1], a), a0)
        b_panel = e.at(e.data(kinds[3], b), b0)
        c_tile = e.at(e.data(kinds[6], c), c0)
        tile = e.zeros()
        with e.loop(depth, tile) as (k, sums):
            a_column = e.at(a_panel, builder.mul(k, _INT(ROWS)))
            b_row = e.at(b_panel, builder.mul(k, b_step))
            e.outer_product(sums, [e.at(a_column, i) for i in range(ROWS)], b_row)
        with builder.if_else(add) as (then, otherwise):
            with then:
                e.write(tile, c_tile, c_step, add=True)
            with otherwise:
                e.write(tile, c_tile, c_step, add=False)
        return context.get_dummy_value()

    n = types.int64
    return types.void(n, a, n, b, n, n, c, n, n, types.boolean), emit


@intrinsic  # type: ignore[untyped-decorator]
def _taps_intrinsic(
    typing: Any, height: Any, width: Any, x: Any, x0: Any, x_step: Any, taps: Any, t0: Any,
    b: Any, b0: Any, b_step: Any, c: Any, c0: Any, c_step: Any,
) -> Any:  # fmt: skip
    def emit(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        height, width, x, x0, x_step, taps, t0, b, b0, b_step, c, c0, c_step = args
        kinds = signature.args
        e = _Emitter(context, builder)
        image = e.at(e.data(kinds[2], x), x0)
        table = e.at(e.data(kinds[5], taps), t0)
        b_panel = e.at(e.data(kinds[7], b), b0)
        c_tile = e.at(e.data(kinds[10], c), c0)
        views = [e.at(image, builder.load(e.at(table, i))) for i in range(ROWS)]
        tile = e.zeros()
        with e.loop(height, tile) as (h, sums):
            line = builder.mul(h, x_step)
            b_line = e.at(b_panel, builder.mul(builder.mul(h, width), b_step))
            lines = [e.at(view, line) for view in views]
            with e.loop(width, sums) as (w, inner_sums):
                b_row = e.at(b_line, builder.mul(w, b_step))
                e.outer_product(inner_sums, [e.at(view, w) for view in lines], b_row)
        e.write(tile, c_tile, c_step, add=True)
        return context.get_dummy_value()

    n = types.int64
    return types.void(n, n, x, n, n, taps, n, b, n, n, c, n, n), emit


@intrinsic  # type: ignore[untyped-decorator]
def _transpose_intrinsic(
    typing: Any, count: Any, source: Any, s0: Any, s_step: Any, target: Any, t0: Any, t_step: Any
) -> Any:
    def emit(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        count, source, s0, s_step, target, t0, t_step = args
        kinds = signature.args
        e = _Emitter(context, builder)
        read = e.at(e.data(kinds[1], source), s0)
        write = e.at(e.data(kinds[4], target), t0)
        last = builder.sub(count, _INT(1))
        lines = []
        for i in range(LANES):
            there = builder.icmp_signed("<", _INT(i), last)
            line = builder.select(there, _INT(i), last)
            lines.append(e.load(e.at(read, builder.mul(s_step, line))))
        # In step s, blocks of s x s numbers change places across the diagonal of 2s x 2s blocks.
        s = 1
        while s < LANES:
            for i in range(LANES):
                if not i & s:
                    upper, lower = lines[i], lines[i + s]
                    lanes = range(LANES)
                    lines[i] = e.shuffle(
                        upper, lower, [j + LANES - s if j & s else j for j in lanes]
                    )
                    lines[i + s] = e.shuffle(
                        upper, lower, [j + LANES if j & s else j + s for j in lanes]
                    )
            s *= 2
        for k in range(LANES):
            e.store(lines[k], e.at(write, builder.mul(t_step, _INT(k))))
        return context.get_dummy_value()

    n = types.int64
    return types.void(n, source, n, n, target, n, n), emit


@intrinsic  # type: ignore[untyped-decorator]
def _copy_intrinsic(typing: Any, source: Any, s0: Any, target: Any, t0: Any) -> Any:
    def emit(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        source, s0, target, t0 = args
        kinds = signature.args
        e = _Emitter(context, builder)
        vector = e.load(e.at(e.data(kinds[0], source), s0))
        e.store(vector, e.at(e.data(kinds[2], target), t0))
        return context.get_dummy_value()

    n = types.int64
    return types.void(source, n, target, n), emit


@intrinsic  # type: ignore[untyped-decorator]
def _add_intrinsic(typing: Any, count: Any, source: Any, s0: Any, target: Any, t0: Any) -> Any:
    def emit(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        count, source, s0, target, t0 = args
        kinds = signature.args
        e = _Emitter(context, builder)
        place = e.at(e.data(kinds[3], target), t0)
        terms = e.first_lanes(count, e.load(e.at(e.data(kinds[1], source), s0)))
        e.store(builder.fadd(e.load(place), terms), place)
        return context.get_dummy_value()

    n = types.int64
    return types.void(n, source, n, target, n), emit


multiply_panels: Any = _multiply_panels if DISABLED else _panels_intrinsic
multiply_taps: Any = _multiply_taps if DISABLED else _taps_intrinsic
transpose_lanes: Any = _transpose_lanes if DISABLED else _transpose_intrinsic
copy_lanes: Any = _copy_lanes if DISABLED else _copy_intrinsic
add_lanes: Any = _add_lanes if DISABLED else _add_intrinsic
