"""Sums and maxima of lines of numbers, LANES at a time.

A sum of many numbers is taken in the lanes of a vector, and these are added at the end. Beside each
intrinsic stands the same function as plain Python, as in `_vector/lanes.py`.
"""

from typing import Any

import numpy as np
from llvmlite import ir
from numba import types
from numba.core import cgutils
from numba.extending import intrinsic
from numpy.typing import NDArray

from .._compile.jit import DISABLED, inner
from .instructions import INT, LANES, SHORT, VECTOR, Emitter, constant

F32 = NDArray[np.float32]

TURN = 4 * LANES  # numbers that are compared at once


# ---- the functions, in plain Python


def _raise_lanes(source: F32, s0: int, target: F32, t0: int) -> None:
    """Write what is greater than LANES numbers in their place."""
    for lane in range(LANES):
        if source[s0 + lane] > target[t0 + lane]:
            target[t0 + lane] = source[s0 + lane]


def _greatest(turns: int, source: F32, s0: int) -> np.float32:
    """The greatest of turns * TURN numbers; NaN is not counted."""
    top = np.float32(-np.inf)
    for i in range(turns * TURN):
        top = source[s0 + i] if source[s0 + i] > top else top
    return top


def _sum_line(count: int, source: F32, s0: int) -> np.float32:
    """The sum of `count` >= LANES numbers."""
    total = np.float32(0)
    for i in range(count):
        total += source[s0 + i]
    return total


# ---- the same, as LLVM instructions


@intrinsic  # type: ignore[untyped-decorator]
def _raise_intrinsic(typing: Any, source: Any, s0: Any, target: Any, t0: Any) -> Any:
    def emit(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        source, s0, target, t0 = args
        kinds = signature.args
        e = Emitter(context, builder)
        values = e.load(e.at(e.data(kinds[0], source), s0))
        address = e.at(e.data(kinds[2], target), t0)
        # Of a comparison and a choice LLVM would make a store under a mask, ten times as slow.
        kind = ir.FunctionType(VECTOR, [VECTOR] * 2)
        name = f"llvm.maxnum.v{LANES}f32"
        maximum = cgutils.get_or_insert_function(builder.module, kind, name)
        e.store(builder.call(maximum, [e.load(address), values]), address)
        return context.get_dummy_value()

    n = types.int64
    return types.void(source, n, target, n), emit


def _greater(e: Emitter, x: Any, y: Any) -> Any:
    return e.builder.select(e.builder.fcmp_ordered(">", x, y), x, y)


@intrinsic  # type: ignore[untyped-decorator]
def _greatest_intrinsic(typing: Any, turns: Any, source: Any, s0: Any) -> Any:
    def emit(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        turns, source, s0 = args
        e = Emitter(context, builder)
        read = e.at(e.data(signature.args[1], source), s0)
        tops = [constant(float("-inf"))] * (TURN // LANES)
        with e.loop(turns, tops) as (turn, found):
            at = builder.mul(turn, INT(TURN))
            for i, top in enumerate(found):
                found[i] = _greater(e, e.load(e.at(read, at, i * LANES)), top)
        top = tops[0]
        for other in tops[1:]:
            top = _greater(e, other, top)
        greatest = builder.extract_element(top, SHORT(0))
        for lane in range(1, LANES):
            greatest = _greater(e, builder.extract_element(top, SHORT(lane)), greatest)
        return greatest

    n = types.int64
    return types.float32(n, source, n), emit


@intrinsic  # type: ignore[untyped-decorator]
def _sum_intrinsic(typing: Any, count: Any, source: Any, s0: Any) -> Any:
    def emit(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        count, source, s0 = args
        e = Emitter(context, builder)
        read = e.at(e.data(signature.args[1], source), s0)
        vectors = builder.sdiv(count, INT(LANES))
        sums = [constant(0.0)]
        with e.loop(vectors, sums) as (vector, found):
            found[0] = builder.fadd(found[0], e.load(e.at(read, builder.mul(vector, INT(LANES)))))
        # The rest is in the last LANES numbers, after what has been added.
        done = builder.sub(INT(LANES), builder.sub(count, builder.mul(vectors, INT(LANES))))
        last = e.load(e.at(read, builder.sub(count, INT(LANES))))
        kind = ir.VectorType(SHORT, LANES)
        lanes = ir.Constant(kind, list(range(LANES)))
        added = builder.icmp_signed("<", lanes, e.spread(builder.trunc(done, SHORT), kind))
        total = builder.fadd(sums[0], builder.select(added, constant(0.0), last))
        for half in (LANES >> step for step in range(1, LANES.bit_length())):
            total = builder.fadd(total, e.shuffle(total, total, [i ^ half for i in range(LANES)]))
        return builder.extract_element(total, SHORT(0))

    n = types.int64
    return types.float32(n, source, n), emit


raise_lanes: Any = _raise_lanes if DISABLED else _raise_intrinsic
greatest: Any = _greatest if DISABLED else _greatest_intrinsic
sum_line: Any = _sum_line if DISABLED else _sum_intrinsic


# ---- lines of any length


@inner
def raise_line(count: int, source: F32, s0: int, target: F32, t0: int) -> None:
    """Write what is greater than `count` numbers in their place."""
    smooth = count // LANES * LANES
    for i in range(0, smooth, LANES):
        raise_lanes(source, s0 + i, target, t0 + i)
    for i in range(smooth, count):
        target[t0 + i] = source[s0 + i] if source[s0 + i] > target[t0 + i] else target[t0 + i]
