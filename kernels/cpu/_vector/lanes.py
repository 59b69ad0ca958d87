"""Lines of numbers, LANES at a time: copies and transpositions too short to leave to loops.

A loop in Numba looks at each index whether it is negative, and so may not become vector code; and a
loop that does is slow to start, when lines are some ten numbers long. Beside each intrinsic stands
the same function as plain Python: it says what the intrinsic does, and takes its place under
NUMBA_DISABLE_JIT=1.
"""

from typing import Any

import numpy as np
from llvmlite import ir
from numba import types
from numba.extending import intrinsic
from numpy.typing import NDArray

from .._compile.jit import DISABLED, inner, shared
from .instructions import INT, LANES, SHORT, VECTOR, Emitter

F32 = NDArray[np.float32]


# ---- the functions, in plain Python


def _copy_lanes(source: F32, s0: int, target: F32, t0: int) -> None:
    """Copy LANES numbers."""
    target[t0 : t0 + LANES] = source[s0 : s0 + LANES]


def _copy_rows(
    rows: int, vectors: int, source: F32, s0: int, s_step: int, target: F32, t0: int, t_step: int
) -> None:  # fmt: skip
    """Copy rows of `vectors` vectors, which is 1 or 2."""
    for i in range(rows):
        at, to = s0 + i * s_step, t0 + i * t_step
        target[to : to + vectors * LANES] = source[at : at + vectors * LANES]


def _collect_lanes(source: F32, s0: int, stride: int, target: F32, t0: int) -> None:
    """Copy LANES numbers that are `stride` apart."""
    for lane in range(LANES):
        target[t0 + lane] = source[s0 + lane * stride]


def _fill_lanes(value: np.float32, target: F32, t0: int) -> None:
    """Write LANES times the same number."""
    target[t0 : t0 + LANES] = value


def _add_lanes(count: int, source: F32, s0: int, target: F32, t0: int) -> None:
    """Add `count` <= LANES numbers; the rest of LANES numbers is read, and written unchanged."""
    target[t0 : t0 + count] += source[s0 : s0 + count]


def _transpose_lanes(
    count: int, source: F32, s0: int, s_step: int, target: F32, t0: int, t_step: int
) -> None:
    """target[k, i] = source[i, k] for i < count <= LANES, k < LANES.

    LANES numbers are written for each k; those with i >= count mean nothing.
    """
    for k in range(LANES):
        for i in range(LANES):
            target[t0 + k * t_step + i] = source[s0 + min(i, count - 1) * s_step + k]


def _weave_lanes(even: F32, e0: int, odd: F32, o0: int, target: F32, t0: int) -> None:
    """Write LANES numbers of each in turn."""
    for lane in range(LANES):
        target[t0 + 2 * lane] = even[e0 + lane]
        target[t0 + 2 * lane + 1] = odd[o0 + lane]


# ---- the same, as LLVM instructions


@intrinsic  # type: ignore[untyped-decorator]
def _copy_intrinsic(typing: Any, source: Any, s0: Any, target: Any, t0: Any) -> Any:
    def emit(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        source, s0, target, t0 = args
        kinds = signature.args
        e = Emitter(context, builder)
        vector = e.load(e.at(e.data(kinds[0], source), s0))
        e.store(vector, e.at(e.data(kinds[2], target), t0))
        return context.get_dummy_value()

    n = types.int64
    return types.void(source, n, target, n), emit


@intrinsic  # type: ignore[untyped-decorator]
def _rows_intrinsic(
    typing: Any, rows: Any, vectors: Any, source: Any, s0: Any, s_step: Any, target: Any, t0: Any,
    t_step: Any,
) -> Any:  # fmt: skip
    def emit(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        rows, vectors, source, s0, s_step, target, t0, t_step = args
        kinds = signature.args
        e = Emitter(context, builder)
        read, write = e.at(e.data(kinds[2], source), s0), e.at(e.data(kinds[5], target), t0)

        def copy(known: int) -> None:
            with e.loop(rows, []) as (i, _):
                at, to = e.at(read, builder.mul(i, s_step)), e.at(write, builder.mul(i, t_step))
                found = [e.load(e.at(at, v * LANES)) for v in range(known)]
                for v in range(known):
                    e.store(found[v], e.at(to, v * LANES))

        with builder.if_else(builder.icmp_signed("==", vectors, INT(1))) as (one, two):
            with one:
                copy(1)
            with two:
                copy(2)
        return context.get_dummy_value()

    n = types.int64
    return types.void(n, n, source, n, n, target, n, n), emit


def strided(e: Emitter, pointer: Any, stride: Any) -> Any:
    """A vector of floats `stride` apart; nothing beyond the last of them is read."""
    builder = e.builder
    found = []
    after = builder.append_basic_block("strided")
    for known in (1, 2, None):
        if known:
            here = builder.append_basic_block(f"stride.{known}")
            others = builder.append_basic_block("stride.other")
            builder.cbranch(builder.icmp_signed("==", stride, INT(known)), here, others)
            builder.position_at_end(here)
        if known == 1:
            vector = e.load(pointer)
        elif known == 2:
            even = range(0, LANES, 2)  # in the first LANES floats; odd ones in the last LANES
            halves = [*even, *(LANES + 1 + lane for lane in even)]
            vector = e.shuffle(e.load(pointer), e.load(e.at(pointer, LANES - 1)), halves)
        else:
            vector = ir.Constant(VECTOR, ir.Undefined)
            for lane in range(LANES):
                value = builder.load(e.at(pointer, builder.mul(stride, INT(lane))))
                vector = builder.insert_element(vector, value, SHORT(lane))
        found.append((vector, builder.block))
        builder.branch(after)
        builder.position_at_end(others)
    builder.position_at_end(after)
    chosen = builder.phi(VECTOR)
    for vector, block in found:
        chosen.add_incoming(vector, block)
    return chosen


@intrinsic  # type: ignore[untyped-decorator]
def _collect_intrinsic(typing: Any, source: Any, s0: Any, stride: Any, target: Any, t0: Any) -> Any:
    def emit(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        source, s0, stride, target, t0 = args
        kinds = signature.args
        e = Emitter(context, builder)
        vector = strided(e, e.at(e.data(kinds[0], source), s0), stride)
        e.store(vector, e.at(e.data(kinds[3], target), t0))
        return context.get_dummy_value()

    n = types.int64
    return types.void(source, n, n, target, n), emit


@intrinsic  # type: ignore[untyped-decorator]
def _fill_intrinsic(typing: Any, value: Any, target: Any, t0: Any) -> Any:
    def emit(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        value, target, t0 = args
        e = Emitter(context, builder)
        e.store(e.spread(value), e.at(e.data(signature.args[1], target), t0))
        return context.get_dummy_value()

    return types.void(types.float32, target, types.int64), emit


@intrinsic  # type: ignore[untyped-decorator]
def _add_intrinsic(typing: Any, count: Any, source: Any, s0: Any, target: Any, t0: Any) -> Any:
    def emit(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        count, source, s0, target, t0 = args
        kinds = signature.args
        e = Emitter(context, builder)
        address = e.at(e.data(kinds[3], target), t0)
        terms = e.first_lanes(count, e.load(e.at(e.data(kinds[1], source), s0)))
        e.store(builder.fadd(e.load(address), terms), address)
        return context.get_dummy_value()

    n = types.int64
    return types.void(n, source, n, target, n), emit


@intrinsic  # type: ignore[untyped-decorator]
def _transpose_intrinsic(
    typing: Any, count: Any, source: Any, s0: Any, s_step: Any, target: Any, t0: Any, t_step: Any
) -> Any:
    def emit(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        count, source, s0, s_step, target, t0, t_step = args
        kinds = signature.args
        e = Emitter(context, builder)
        read = e.at(e.data(kinds[1], source), s0)
        write = e.at(e.data(kinds[4], target), t0)
        last = builder.sub(count, INT(1))
        lines = []
        for i in range(LANES):
            there = builder.icmp_signed("<", INT(i), last)
            line = builder.select(there, INT(i), last)
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
            e.store(lines[k], e.at(write, builder.mul(t_step, INT(k))))
        return context.get_dummy_value()

    n = types.int64
    return types.void(n, source, n, n, target, n, n), emit


@intrinsic  # type: ignore[untyped-decorator]
def _weave_intrinsic(
    typing: Any, even: Any, e0: Any, odd: Any, o0: Any, target: Any, t0: Any
) -> Any:
    def emit(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        even, e0, odd, o0, target, t0 = args
        kinds = signature.args
        e = Emitter(context, builder)
        x = e.load(e.at(e.data(kinds[0], even), e0))
        y = e.load(e.at(e.data(kinds[2], odd), o0))
        write = e.at(e.data(kinds[4], target), t0)
        for half in range(2):
            lanes = [half * LANES // 2 + i // 2 + i % 2 * LANES for i in range(LANES)]
            e.store(e.shuffle(x, y, lanes), e.at(write, half * LANES))
        return context.get_dummy_value()

    n = types.int64
    return types.void(even, n, odd, n, target, n), emit


transpose_lanes: Any = _transpose_lanes if DISABLED else _transpose_intrinsic
copy_lanes: Any = _copy_lanes if DISABLED else _copy_intrinsic
copy_rows: Any = _copy_rows if DISABLED else _rows_intrinsic
collect_lanes: Any = _collect_lanes if DISABLED else _collect_intrinsic
fill_lanes: Any = _fill_lanes if DISABLED else _fill_intrinsic
add_lanes: Any = _add_lanes if DISABLED else _add_intrinsic
weave_lanes: Any = _weave_lanes if DISABLED else _weave_intrinsic


# ---- lines of any length


@shared
def copy_line(count: int, source: F32, s0: int, stride: int, target: F32, t0: int) -> None:
    """Copy `count` numbers that are `stride` apart."""
    smooth = count // LANES * LANES
    for i in range(0, smooth, LANES):
        collect_lanes(source, s0 + i * stride, stride, target, t0 + i)
    for i in range(smooth, count):
        target[t0 + i] = source[s0 + i * stride]


@inner
def fill_line(count: int, value: np.float32, target: F32, t0: int) -> None:
    """Write `count` times the same number."""
    smooth = count // LANES * LANES
    for i in range(0, smooth, LANES):
        fill_lanes(value, target, t0 + i)
    for i in range(smooth, count):
        target[t0 + i] = value


@inner
def copy_over(count: int, source: F32, s0: int, target: F32, t0: int) -> None:
    """Copy a line; its last vector overlaps the one before."""
    if count >= LANES:
        for i in range(0, count, LANES):
            at = min(i, count - LANES)
            copy_lanes(source, s0 + at, target, t0 + at)
    else:
        for i in range(count):
            target[t0 + i] = source[s0 + i]


@inner
def weave_line(
    few: F32, width: int, phases: int, skip: int, part: int, source: F32, s0: int,
    target: F32, t0: int,
) -> None:  # fmt: skip
    """Interleave the phases of a line, and write it without the first `skip` numbers."""
    if phases == 1:
        copy_over(width, source, s0 + skip, target, t0)
    elif phases == 2 and width >= 2 * LANES:
        for column in range(0, width, 2 * LANES):
            w = min(column, width - 2 * LANES)
            even, odd = w + skip, w + skip + 1
            weave_lanes(
                source, s0 + even % 2 * part + even // 2, source, s0 + odd % 2 * part + odd // 2,
                target, t0 + w,
            )  # fmt: skip
    elif phases == 2:
        weave_lanes(
            source, s0 + skip % 2 * part + skip // 2, source,
            s0 + (skip + 1) % 2 * part + (skip + 1) // 2, few, 0,
        )  # fmt: skip
        copy_over(width, few, 0, target, t0)
    else:
        for w in range(width):
            at = w + skip
            target[t0 + w] = source[s0 + at % phases * part + at // phases]
