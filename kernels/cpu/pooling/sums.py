"""Sums of windows: vectors of sums, side by side in a line of outputs.

Sums are taken over the lines of a window first, which serves all its columns; then over columns,
LANES windows at once. A sum of two or three terms, as most are, is written out without a loop.
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, NamedTuple

import numpy as np
from numba import types
from numba.core import cgutils
from numba.extending import intrinsic
from numpy.typing import NDArray

from .._compile.jit import DISABLED
from .._vector.instructions import INT, LANES, Emitter, constant
from .._vector.lanes import strided

F32 = NDArray[np.float32]
I64 = NDArray[np.int64]


class Lines(NamedTuple):
    """Lines in an array: number j of line i is at start + i * step + j.

    The array is not in it: there are a few of these for each plane, and references to an array in a
    tuple are counted, which takes longer than a line of sums.
    """

    start: int
    step: int


# ---- the functions, in plain Python


def _sum_lines(
    groups: int, table: I64, count: int, x: F32, x_at: Lines, sums: F32, to: Lines
) -> None:
    """For each group of lines, table[2 g + 1] of them from table[2 g] on, write their sum.

    With count < LANES reads, and writes zeros, up to LANES.
    """
    for group in range(groups):
        first, lines = table[2 * group], table[2 * group + 1]
        for j in range(max(count, LANES)):
            total = np.float32(0)
            for line in range(first, first + lines if j < count else first):
                total += x[x_at.start + line * x_at.step + j]
            sums[to.start + group * to.step + j] = total


def _sum_windows(
    lines: int, count: int, columns: int, stride: int, x: F32, x_at: Lines, y: F32, to: Lines
) -> None:
    """The sums of `count` windows of `columns` numbers, `stride` apart, in each of some lines.

    With count < LANES so many are read and written, line by line.
    """
    for line in range(lines):
        for j in range(max(count, LANES)):
            total = np.float32(0)
            for s in range(columns):
                total += x[x_at.start + line * x_at.step + j * stride + s]
            y[to.start + line * to.step + j] = total


def _sum_pairs(
    lines: int,
    count: int,
    even_terms: int,
    even: Lines,
    odd_terms: int,
    odd: Lines,
    x: F32,
    y: F32,
    to: Lines,
) -> None:
    """The sums of so many numbers of `even` from j on, and of `odd` from j on, in turn.

    `even` and `odd` have the same step. That in each of some lines, line by line, for `count`
    numbers, or up to 2 LANES - 1 more.
    """
    for line in range(lines):
        for j in range(-(-count // (2 * LANES)) * LANES):
            for side, at, terms in ((0, even, even_terms), (1, odd, odd_terms)):
                total = np.float32(0)
                for s in range(terms):
                    total += x[at.start + line * at.step + j + s]
                y[to.start + line * to.step + 2 * j + side] = total


def _divide_lanes(count: int, x: F32, x0: int, by: F32, by0: int, y: F32, y0: int) -> None:
    """The quotients of two lines of `count` >= LANES numbers."""
    y[y0 : y0 + count] = x[x0 : x0 + count] / by[by0 : by0 + count]


# ---- the same, as LLVM instructions


def _lines(e: Emitter, kind: Any, array: Any, lines: Any) -> tuple[Any, Any]:
    """The address of the first of some lines of an array, and the step to the next."""
    start, step = cgutils.unpack_tuple(e.builder, lines, 2)
    return e.at(e.data(kind, array), start), step


def _repeat(
    e: Emitter, count: Any, carried: list[Any], turn: Callable[[Any, list[Any]], list[Any]]
) -> list[Any]:
    """Carry vectors through turns 0 .. count - 1; the usual few of them without a loop."""
    builder = e.builder
    found = []
    after = builder.append_basic_block("repeat.end")
    for few in (2, 3):
        here = builder.append_basic_block(f"repeat.{few}")
        others = builder.append_basic_block("repeat.other")
        builder.cbranch(builder.icmp_signed("==", count, INT(few)), here, others)
        builder.position_at_end(here)
        values = carried
        for i in range(few):
            values = turn(INT(i), values)
        found.append((values, builder.block))
        builder.branch(after)
        builder.position_at_end(others)
    values = list(carried)
    with e.loop(count, values) as (i, within):
        within[:] = turn(i, within)
    found.append((values, builder.block))
    builder.branch(after)
    builder.position_at_end(after)
    results = []
    for number, value in enumerate(carried):
        chosen = builder.phi(value.type)
        for values, block in found:
            chosen.add_incoming(values[number], block)
        results.append(chosen)
    return results


def _sum(e: Emitter, count: Any, term: Callable[[Any], Any]) -> Any:
    """The sum of vectors 0 .. count - 1."""
    return _repeat(e, count, [constant(0.0)], lambda i, sums: [e.builder.fadd(sums[0], term(i))])[0]


@contextmanager
def _vectors(e: Emitter, count: Any) -> Iterator[Any]:
    """Yields where each vector of a line begins; the last one overlaps the one before."""
    builder = e.builder
    most = builder.sub(count, INT(LANES))
    last = builder.select(builder.icmp_signed(">", most, INT(0)), most, INT(0))
    vectors = builder.sdiv(builder.add(last, INT(2 * LANES - 1)), INT(LANES))
    with e.loop(vectors, []) as (vector, _):
        at = builder.mul(vector, INT(LANES))
        yield builder.select(builder.icmp_signed("<", at, last), at, last)


@intrinsic  # type: ignore[untyped-decorator]
def _lines_intrinsic(
    typing: Any, groups: Any, table: Any, count: Any, x: Any, x_at: Any, sums: Any, to: Any
) -> Any:
    def emit(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        groups, table, count, x, x_at, sums, to = args
        kinds = signature.args
        e = Emitter(context, builder)
        (read, step), (write, sums_step) = (
            _lines(e, kinds[3], x, x_at),
            _lines(e, kinds[5], sums, to),
        )
        bounds = e.data(kinds[1], table)
        with e.loop(groups, []) as (group, _):
            entry = e.at(bounds, builder.mul(group, INT(2)))
            lines = builder.load(e.at(entry, 1))
            first = e.at(read, builder.mul(builder.load(entry), step))
            target = e.at(write, builder.mul(group, sums_step))
            with _vectors(e, count) as at:
                total = _sum(
                    e, lines, lambda line: e.load(e.at(first, builder.mul(line, step), at))
                )
                e.store(e.first_lanes(count, total), e.at(target, at))
        return context.get_dummy_value()

    n = types.int64
    return types.void(n, table, n, x, x_at, sums, to), emit


def _window(e: Emitter, columns: Any, seen: Any, stride: Any) -> Any:
    """The sums of LANES windows of a line."""
    return _sum(e, columns, lambda s: strided(e, e.at(seen, s), stride))


@intrinsic  # type: ignore[untyped-decorator]
def _windows_intrinsic(
    typing: Any,
    lines: Any,
    count: Any,
    columns: Any,
    stride: Any,
    x: Any,
    x_at: Any,
    y: Any,
    to: Any,
) -> Any:
    def emit(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        lines, count, columns, stride, x, x_at, y, to = args
        kinds = signature.args
        e = Emitter(context, builder)
        (read, step), (write, y_step) = _lines(e, kinds[4], x, x_at), _lines(e, kinds[6], y, to)
        with e.loop(lines, []) as (line, _):
            source = e.at(read, builder.mul(line, step))
            target = e.at(write, builder.mul(line, y_step))
            with _vectors(e, count) as at:
                seen = e.at(source, builder.mul(at, stride))
                e.store(_window(e, columns, seen, stride), e.at(target, at))
        return context.get_dummy_value()

    n = types.int64
    return types.void(n, n, n, n, x, x_at, y, to), emit


@intrinsic  # type: ignore[untyped-decorator]
def _pairs_intrinsic(
    typing: Any, lines: Any, count: Any, even_terms: Any, even: Any, odd_terms: Any, odd: Any,
    x: Any, y: Any, to: Any,
) -> Any:  # fmt: skip
    def emit(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        lines, count, even_terms, even, odd_terms, odd, x, y, to = args
        kinds = signature.args
        e = Emitter(context, builder)
        (evens, step), (odds, _) = (_lines(e, kinds[6], x, lines_at) for lines_at in (even, odd))
        write, y_step = _lines(e, kinds[7], y, to)
        pairs = builder.sdiv(builder.add(count, INT(2 * LANES - 1)), INT(2 * LANES))
        with e.loop(lines, []) as (line, _):
            source = builder.mul(line, step)
            target = e.at(write, builder.mul(line, y_step))
            with e.loop(pairs, []) as (pair, _):
                at = builder.add(source, builder.mul(pair, INT(LANES)))
                first = _window(e, even_terms, e.at(evens, at), INT(1))
                second = _window(e, odd_terms, e.at(odds, at), INT(1))
                to = e.at(target, builder.mul(pair, INT(2 * LANES)))
                for half in range(2):
                    lanes = [half * LANES // 2 + i // 2 + i % 2 * LANES for i in range(LANES)]
                    e.store(e.shuffle(first, second, lanes), e.at(to, half * LANES))
        return context.get_dummy_value()

    n = types.int64
    return types.void(n, n, n, even, n, odd, x, y, to), emit


@intrinsic  # type: ignore[untyped-decorator]
def _divide_intrinsic(
    typing: Any, count: Any, x: Any, x0: Any, by: Any, by0: Any, y: Any, y0: Any
) -> Any:
    def emit(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        count, x, x0, by, by0, y, y0 = args
        kinds = signature.args
        e = Emitter(context, builder)
        read, divisors = e.at(e.data(kinds[1], x), x0), e.at(e.data(kinds[3], by), by0)
        write = e.at(e.data(kinds[5], y), y0)
        with _vectors(e, count) as at:
            value = builder.fdiv(e.load(e.at(read, at)), e.load(e.at(divisors, at)))
            e.store(value, e.at(write, at))
        return context.get_dummy_value()

    n = types.int64
    return types.void(n, x, n, by, n, y, n), emit


sum_lines: Any = _sum_lines if DISABLED else _lines_intrinsic
sum_pairs: Any = _sum_pairs if DISABLED else _pairs_intrinsic
sum_windows: Any = _sum_windows if DISABLED else _windows_intrinsic
divide_lanes: Any = _divide_lanes if DISABLED else _divide_intrinsic
