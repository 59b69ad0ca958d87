"""Vector code for pooling: LANES windows of an image at once, side by side in a line of outputs.

Window j begins at column j * stride of the line. For each tap of the window the values that the
LANES windows see, `stride` apart, are collected into one vector and compared with, or added to,
what has been found so far: one step for LANES windows, and no branch on the data. Sums are taken
over the lines of a window first, which serves all its columns.
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
from llvmlite import ir
from numba import types
from numba.extending import intrinsic
from numpy.typing import NDArray

from .._compile.jit import DISABLED
from .._vector.instructions import INT, LANES, SHORT, Emitter, constant
from .._vector.lanes import strided

F32 = NDArray[np.float32]
I32 = NDArray[np.int32]
I64 = NDArray[np.int64]

_PLACES = ir.VectorType(SHORT, LANES)


# ---- the functions, in plain Python


def _window_maxima(
    rows: int, columns: int, x: F32, x0: int, step: int, stride: int, place: int,
    y: F32, y0: int, mask: I32, mask0: int,
) -> None:  # fmt: skip
    """The first greatest value of LANES windows of rows x columns, and where it is.

    The first window begins at x[x0], lines are `step` floats apart. x[x0 + i] is place `place + i`
    of the image; the maxima go to y[y0 ..], their places to mask[mask0 ..].
    """
    for lane in range(LANES):
        greatest, where = np.finfo(np.float32).min, -1
        for r in range(rows):
            for s in range(columns):
                at = r * step + s + lane * stride
                if x[x0 + at] > greatest:
                    greatest, where = x[x0 + at], place + at
        y[y0 + lane], mask[mask0 + lane] = greatest, where


def _sum_lines(
    groups: int, table: I64, count: int, x: F32, x0: int, step: int,
    sums: F32, sums0: int, sums_step: int,
) -> None:  # fmt: skip
    """For each group of lines, table[2 g + 1] of them from table[2 g] on, write their sum.

    With count < LANES reads, and writes zeros, up to LANES.
    """
    for group in range(groups):
        first, lines = table[2 * group], table[2 * group + 1]
        for j in range(max(count, LANES)):
            total = np.float32(0)
            for line in range(first, first + lines if j < count else first):
                total += x[x0 + line * step + j]
            sums[sums0 + group * sums_step + j] = total


def _sum_windows(
    lines: int, count: int, columns: int, x: F32, x0: int, step: int, stride: int,
    y: F32, y0: int, y_step: int,
) -> None:  # fmt: skip
    """The sums of `count` windows of `columns` numbers, `stride` apart, in each of some lines.

    With count < LANES so many are read and written, line by line.
    """
    for line in range(lines):
        for j in range(max(count, LANES)):
            total = np.float32(0)
            for s in range(columns):
                total += x[x0 + line * step + j * stride + s]
            y[y0 + line * y_step + j] = total


def _sum_pairs(
    lines: int, count: int, even: int, odd: int, x: F32, x0: int, x1: int, step: int,
    y: F32, y0: int, y_step: int,
) -> None:  # fmt: skip
    """The sums of `even` numbers from x0 + j on, and of `odd` numbers from x1 + j on, in turn.

    That in each of some lines, line by line, for `count` numbers, or up to 2 LANES - 1 more.
    """
    for line in range(lines):
        for j in range(-(-count // (2 * LANES)) * LANES):
            for side, first, terms in ((0, x0, even), (1, x1, odd)):
                total = np.float32(0)
                for s in range(terms):
                    total += x[first + line * step + j + s]
                y[y0 + line * y_step + 2 * j + side] = total


def _divide_lanes(count: int, x: F32, x0: int, by: F32, by0: int, y: F32, y0: int) -> None:
    """The quotients of two lines of `count` >= LANES numbers."""
    y[y0 : y0 + count] = x[x0 : x0 + count] / by[by0 : by0 + count]


# ---- the same, as LLVM instructions


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


@intrinsic  # type: ignore[untyped-decorator]
def _maxima_intrinsic(
    typing: Any, rows: Any, columns: Any, x: Any, x0: Any, step: Any, stride: Any, place: Any,
    y: Any, y0: Any, mask: Any, mask0: Any,
) -> Any:  # fmt: skip
    def emit(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        rows, columns, x, x0, step, stride, place, y, y0, mask, mask0 = args
        kinds = signature.args
        e = Emitter(context, builder)
        image = e.at(e.data(kinds[2], x), x0)
        lowest = constant(float(np.finfo(np.float32).min))
        apart = builder.mul(
            e.spread(builder.trunc(stride, SHORT), _PLACES),
            ir.Constant(_PLACES, list(range(LANES))),
        )
        start = [lowest, ir.Constant(_PLACES, [-1] * LANES)]
        write = e.at(e.data(kinds[7], y), y0)
        to = builder.bitcast(e.at(e.data(kinds[9], mask), mask0), _PLACES.as_pointer())

        def better(values: Any, places: Any, best: list[Any]) -> list[Any]:
            greater = builder.fcmp_ordered(">", values, best[0])
            return [
                builder.select(greater, values, best[0]),
                builder.select(greater, places, best[1]),
            ]

        def usual(few: int) -> None:
            """Windows of `few` columns, 2 apart: in the order in which vectors are shuffled."""
            order = [
                w
                for c in range(LANES // 4)
                for w in (2 * c, 2 * c + 1, LANES // 2 + 2 * c, LANES // 2 + 2 * c + 1)
            ]
            even = [i for c in range(0, LANES, 4) for i in (c, c + 2, LANES + c + 1, LANES + c + 3)]
            doubled = ir.Constant(_PLACES, [2 * w for w in order])
            found = list(start)
            with e.loop(rows, found) as (r, best):
                line = builder.mul(r, step)
                first = builder.trunc(builder.add(place, line), SHORT)
                places = builder.add(e.spread(first, _PLACES), doubled)
                for s in range(few):
                    seen = e.at(image, line, s)
                    values = e.shuffle(e.load(seen), e.load(e.at(seen, LANES - 1)), even)
                    here = builder.add(places, ir.Constant(_PLACES, [s] * LANES))
                    best[:] = better(values, here, best)
            back = [order.index(w) for w in range(LANES)]
            e.store(e.shuffle(found[0], found[0], back), write)
            builder.store(e.shuffle(found[1], found[1], back), to).align = 4

        def others() -> None:
            found = list(start)
            with e.loop(rows, found) as (r, found_in_row):
                line = builder.mul(r, step)
                with e.loop(columns, found_in_row) as (s, best):
                    at = builder.add(line, s)
                    first = builder.trunc(builder.add(place, at), SHORT)
                    places = builder.add(e.spread(first, _PLACES), apart)
                    best[:] = better(strided(e, e.at(image, at), stride), places, best)
            e.store(found[0], write)
            builder.store(found[1], to).align = 4

        by_two = builder.icmp_signed("==", stride, INT(2))
        two = builder.and_(by_two, builder.icmp_signed("==", columns, INT(2)))
        three = builder.and_(by_two, builder.icmp_signed("==", columns, INT(3)))
        with builder.if_else(two) as (then, other):
            with then:
                usual(2)
            with other, builder.if_else(three) as (then_three, rest):
                with then_three:
                    usual(3)
                with rest:
                    others()
        return context.get_dummy_value()

    n = types.int64
    return types.void(n, n, x, n, n, n, n, y, n, mask, n), emit


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
    typing: Any, groups: Any, table: Any, count: Any, x: Any, x0: Any, step: Any,
    sums: Any, sums0: Any, sums_step: Any,
) -> Any:  # fmt: skip
    def emit(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        groups, table, count, x, x0, step, sums, sums0, sums_step = args
        kinds = signature.args
        e = Emitter(context, builder)
        read, write = e.at(e.data(kinds[3], x), x0), e.at(e.data(kinds[6], sums), sums0)
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
    return types.void(n, table, n, x, n, n, sums, n, n), emit


def _window(e: Emitter, columns: Any, seen: Any, stride: Any) -> Any:
    """The sums of LANES windows of a line."""
    return _sum(e, columns, lambda s: strided(e, e.at(seen, s), stride))


@intrinsic  # type: ignore[untyped-decorator]
def _windows_intrinsic(
    typing: Any, lines: Any, count: Any, columns: Any, x: Any, x0: Any, step: Any, stride: Any,
    y: Any, y0: Any, y_step: Any,
) -> Any:  # fmt: skip
    def emit(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        lines, count, columns, x, x0, step, stride, y, y0, y_step = args
        kinds = signature.args
        e = Emitter(context, builder)
        read, write = e.at(e.data(kinds[3], x), x0), e.at(e.data(kinds[7], y), y0)
        with e.loop(lines, []) as (line, _):
            source = e.at(read, builder.mul(line, step))
            target = e.at(write, builder.mul(line, y_step))
            with _vectors(e, count) as at:
                seen = e.at(source, builder.mul(at, stride))
                e.store(_window(e, columns, seen, stride), e.at(target, at))
        return context.get_dummy_value()

    n = types.int64
    return types.void(n, n, n, x, n, n, n, y, n, n), emit


@intrinsic  # type: ignore[untyped-decorator]
def _pairs_intrinsic(
    typing: Any, lines: Any, count: Any, even: Any, odd: Any, x: Any, x0: Any, x1: Any, step: Any,
    y: Any, y0: Any, y_step: Any,
) -> Any:  # fmt: skip
    def emit(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        lines, count, even, odd, x, x0, x1, step, y, y0, y_step = args
        kinds = signature.args
        e = Emitter(context, builder)
        data, write = e.data(kinds[4], x), e.at(e.data(kinds[8], y), y0)
        pairs = builder.sdiv(builder.add(count, INT(2 * LANES - 1)), INT(2 * LANES))
        with e.loop(lines, []) as (line, _):
            source = builder.mul(line, step)
            target = e.at(write, builder.mul(line, y_step))
            with e.loop(pairs, []) as (pair, _):
                at = builder.add(source, builder.mul(pair, INT(LANES)))
                first = _window(e, even, e.at(data, x0, at), INT(1))
                second = _window(e, odd, e.at(data, x1, at), INT(1))
                to = e.at(target, builder.mul(pair, INT(2 * LANES)))
                for half in range(2):
                    lanes = [half * LANES // 2 + i // 2 + i % 2 * LANES for i in range(LANES)]
                    e.store(e.shuffle(first, second, lanes), e.at(to, half * LANES))
        return context.get_dummy_value()

    n = types.int64
    return types.void(n, n, n, n, x, n, n, n, y, n, n), emit


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


window_maxima: Any = _window_maxima if DISABLED else _maxima_intrinsic
sum_lines: Any = _sum_lines if DISABLED else _lines_intrinsic
sum_pairs: Any = _sum_pairs if DISABLED else _pairs_intrinsic
sum_windows: Any = _sum_windows if DISABLED else _windows_intrinsic
divide_lanes: Any = _divide_lanes if DISABLED else _divide_intrinsic
