"""Vector code for pooling: LANES windows of an image at once, side by side in a line of outputs.

Window j begins at column j * stride of the line. For each tap (r, s) of the window the values that
the LANES windows see, `stride` apart, are collected into one vector and compared with, or added
to, what has been found so far: one step for LANES windows, and no branch on the data.
"""

from typing import Any

import numpy as np
from llvmlite import ir
from numba import types
from numba.extending import intrinsic
from numpy.typing import NDArray

from ._jit import DISABLED
from ._lanes import strided
from ._vectors import LANES, SHORT, Emitter, constant

F32 = NDArray[np.float32]
I32 = NDArray[np.int32]

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


def _window_sums(
    rows: int, columns: int, x: F32, x0: int, step: int, stride: int, y: F32, y0: int
) -> None:
    """The sums of LANES windows, into y[y0 ..]."""
    for lane in range(LANES):
        total = np.float32(0)
        for r in range(rows):
            for s in range(columns):
                total += x[x0 + r * step + s + lane * stride]
        y[y0 + lane] = total


# ---- the same, as LLVM instructions


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
        found = [lowest, ir.Constant(_PLACES, [-1] * LANES)]
        with e.loop(rows, found) as (r, found_in_row):
            line = builder.mul(r, step)
            with e.loop(columns, found_in_row) as (s, best):
                at = builder.add(line, s)
                values = strided(e, e.at(image, at), stride)
                first = builder.trunc(builder.add(place, at), SHORT)
                places = builder.add(e.spread(first, _PLACES), apart)
                greater = builder.fcmp_ordered(">", values, best[0])
                best[:] = [
                    builder.select(greater, values, best[0]),
                    builder.select(greater, places, best[1]),
                ]
        e.store(found[0], e.at(e.data(kinds[7], y), y0))
        to = e.at(e.data(kinds[9], mask), mask0)
        builder.store(found[1], builder.bitcast(to, _PLACES.as_pointer())).align = 4
        return context.get_dummy_value()

    n = types.int64
    return types.void(n, n, x, n, n, n, n, y, n, mask, n), emit


@intrinsic  # type: ignore[untyped-decorator]
def _sums_intrinsic(
    typing: Any, rows: Any, columns: Any, x: Any, x0: Any, step: Any, stride: Any, y: Any, y0: Any
) -> Any:
    def emit(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        rows, columns, x, x0, step, stride, y, y0 = args
        kinds = signature.args
        e = Emitter(context, builder)
        image = e.at(e.data(kinds[2], x), x0)
        sums = [constant(0.0)]
        with e.loop(rows, sums) as (r, sums_of_row):
            line = builder.mul(r, step)
            with e.loop(columns, sums_of_row) as (s, total):
                values = strided(e, e.at(image, builder.add(line, s)), stride)
                total[0] = builder.fadd(total[0], values)
        e.store(sums[0], e.at(e.data(kinds[6], y), y0))
        return context.get_dummy_value()

    n = types.int64
    return types.void(n, n, x, n, n, n, y, n), emit


window_maxima: Any = _window_maxima if DISABLED else _maxima_intrinsic
window_sums: Any = _window_sums if DISABLED else _sums_intrinsic
