"""Vector code for filters that see one plane at a time: blocks of outputs, tap after tap.

What tap k sees from pixel (i, j) of the output stands at image[i * step + j + taps[k]], so LANES
pixels in a line see LANES neighbours. A block of 8 vectors of outputs stays in registers while all
taps go by: a number of the filter, once loaded, serves 8 multiplications. For the gradient of the
filter the sums of TAPS taps stay in registers, while the pixels go by.

The functions take many arguments: they are instructions, not calls, and an array in a tuple would
have to be taken out of it at each.
"""

from typing import Any

import numpy as np
from numba import types
from numba.extending import intrinsic
from numpy.typing import NDArray

from .._compile.jit import DISABLED
from .._vector.instructions import INT, LANES, Emitter
from .._vector.lanes import strided

F32 = NDArray[np.float32]
I64 = NDArray[np.int64]

WIDE = 4  # lines of a block of two vectors a line
TALL = 8  # lines of a block of one vector a line
TAPS = 9  # taps whose sums are kept in registers


# ---- the functions, in plain Python


def _sum_wide(
    lines: int, second: int, count: int, image: F32, image0: int, step: int, taps: I64, taps0: int,
    weight: F32, weight0: int, value: np.float32, y: F32, y0: int, y_step: int,
) -> None:  # fmt: skip
    """Write y = value + the sum over k < count of weight[k] * image[.. + taps[k]].

    That for `lines` <= WIDE lines, and in each for LANES pixels at 0 and LANES pixels at `second`,
    which may be the same in part.
    """
    for i in range(lines):
        for at in (*range(LANES), *range(second, second + LANES)):
            total = value
            for k in range(count):
                total += weight[weight0 + k] * image[image0 + i * step + at + taps[taps0 + k]]
            y[y0 + i * y_step + at] = total


def _sum_tall(
    lines: int, count: int, image: F32, image0: int, step: int, taps: I64, taps0: int,
    weight: F32, weight0: int, value: np.float32, y: F32, y0: int, y_step: int,
) -> None:  # fmt: skip
    """The same for `lines` <= TALL lines of LANES pixels.

    Lines are written in their order, so that y_step may be less than LANES.
    """
    for i in range(lines):
        for at in range(LANES):
            total = value
            for k in range(count):
                total += weight[weight0 + k] * image[image0 + i * step + at + taps[taps0 + k]]
            y[y0 + i * y_step + at] = total


def _add_products(
    lines: int, vectors: int, image: F32, image0: int, step: int, taps: I64, taps0: int,
    dy: F32, dy0: int, dy_step: int, totals: F32, totals0: int,
) -> None:  # fmt: skip
    """For k < TAPS, add dy * what tap k sees to totals[k], in LANES sums of every LANES-th pixel.

    dy has `lines` lines of `vectors` vectors.
    """
    for k in range(TAPS):
        for i in range(lines):
            for at in range(vectors * LANES):
                seen = image[image0 + i * step + at + taps[taps0 + k]]
                totals[totals0 + k * LANES + at % LANES] += dy[dy0 + i * dy_step + at] * seen


def _place_lines(
    lines: int, count: int, source: F32, s0: int, s_step: int, stride: int,
    target: F32, t0: int, t_step: int,
) -> None:  # fmt: skip
    """Write lines of `count` numbers, which are `stride` apart in source.

    With count < LANES reads, and writes zeros, up to LANES.
    """
    for i in range(lines):
        for j in range(max(count, LANES)):
            value = source[s0 + i * s_step + j * stride] if j < count else np.float32(0)
            target[t0 + i * t_step + j] = value


# ---- the same, as LLVM instructions


def _emit_block(
    e: Emitter, height: int, columns: list[Any], lines: Any, count: Any, image: Any, step: Any,
    taps: Any, weight: Any, value: Any, y: Any, y_step: Any,
) -> None:  # fmt: skip
    """A block of `height` lines; those from `lines` on are the last one again."""
    builder = e.builder
    last = builder.sub(lines, INT(1))
    read, write = [], []
    for i in range(height):
        line = builder.select(builder.icmp_signed("<", INT(i), last), INT(i), last)
        read.append(e.at(image, builder.mul(line, step)))
        write.append(e.at(y, builder.mul(line, y_step)))
    sums = [e.spread(value)] * (height * len(columns))
    with e.loop(count, sums) as (k, totals):
        factor = e.spread(builder.load(e.at(weight, k)))
        tap = builder.load(e.at(taps, k))
        for i in range(height):
            for c, column in enumerate(columns):
                at = i * len(columns) + c
                seen = e.load(e.at(read[i], column, tap))
                totals[at] = e.multiply_add(factor, seen, totals[at])
    for i in range(height):
        for c, column in enumerate(columns):
            e.store(sums[i * len(columns) + c], e.at(write[i], column))


@intrinsic  # type: ignore[untyped-decorator]
def _wide_intrinsic(
    typing: Any, lines: Any, second: Any, count: Any, image: Any, image0: Any, step: Any,
    taps: Any, taps0: Any, weight: Any, weight0: Any, value: Any, y: Any, y0: Any, y_step: Any,
) -> Any:  # fmt: skip
    """A block of two vectors a line; as many arguments as `_sum_wide`, which says what they are."""

    def emit(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        lines, second, count, image, image0, step, taps, taps0, weight, weight0, value, *out = args
        kinds = signature.args
        e = Emitter(context, builder)
        _emit_block(
            e, WIDE, [INT(0), second], lines, count, e.at(e.data(kinds[3], image), image0), step,
            e.at(e.data(kinds[6], taps), taps0), e.at(e.data(kinds[8], weight), weight0), value,
            e.at(e.data(kinds[11], out[0]), out[1]), out[2],
        )  # fmt: skip
        return context.get_dummy_value()

    n, f = types.int64, types.float32
    return types.void(n, n, n, image, n, n, taps, n, weight, n, f, y, n, n), emit


@intrinsic  # type: ignore[untyped-decorator]
def _tall_intrinsic(
    typing: Any, lines: Any, count: Any, image: Any, image0: Any, step: Any, taps: Any, taps0: Any,
    weight: Any, weight0: Any, value: Any, y: Any, y0: Any, y_step: Any,
) -> Any:  # fmt: skip
    """A block of one vector a line; as many arguments as `_sum_tall`, which says what they are."""

    def emit(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        lines, count, image, image0, step, taps, taps0, weight, weight0, value, *out = args
        kinds = signature.args
        e = Emitter(context, builder)
        _emit_block(
            e, TALL, [INT(0)], lines, count, e.at(e.data(kinds[2], image), image0), step,
            e.at(e.data(kinds[5], taps), taps0), e.at(e.data(kinds[7], weight), weight0), value,
            e.at(e.data(kinds[10], out[0]), out[1]), out[2],
        )  # fmt: skip
        return context.get_dummy_value()

    n, f = types.int64, types.float32
    return types.void(n, n, image, n, n, taps, n, weight, n, f, y, n, n), emit


@intrinsic  # type: ignore[untyped-decorator]
def _add_products_intrinsic(
    typing: Any, lines: Any, vectors: Any, image: Any, image0: Any, step: Any, taps: Any,
    taps0: Any, dy: Any, dy0: Any, dy_step: Any, totals: Any, totals0: Any,
) -> Any:  # fmt: skip
    """Sums of TAPS taps; as many arguments as `_add_products`, which says what they are."""

    def emit(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        lines, vectors, image, image0, step, taps, taps0, dy, dy0, dy_step, totals, totals0 = args
        kinds = signature.args
        e = Emitter(context, builder)
        image = e.at(e.data(kinds[2], image), image0)
        gradients = e.at(e.data(kinds[7], dy), dy0)
        kept = e.at(e.data(kinds[10], totals), totals0)
        table = e.at(e.data(kinds[5], taps), taps0)
        seen_by = [e.at(image, builder.load(e.at(table, k))) for k in range(TAPS)]
        sums = [e.load(e.at(kept, k * LANES)) for k in range(TAPS)]
        with e.loop(lines, sums) as (i, sums_of_line):
            line, dy_line = builder.mul(i, step), e.at(gradients, builder.mul(i, dy_step))
            with e.loop(vectors, sums_of_line) as (vector, found):
                at = builder.mul(vector, INT(LANES))
                gradient = e.load(e.at(dy_line, at))
                at = builder.add(line, at)
                for k in range(TAPS):
                    found[k] = e.multiply_add(gradient, e.load(e.at(seen_by[k], at)), found[k])
        for k in range(TAPS):
            e.store(sums[k], e.at(kept, k * LANES))
        return context.get_dummy_value()

    n = types.int64
    return types.void(n, n, image, n, n, taps, n, dy, n, n, totals, n), emit


@intrinsic  # type: ignore[untyped-decorator]
def _place_intrinsic(
    typing: Any, lines: Any, count: Any, source: Any, s0: Any, s_step: Any, stride: Any,
    target: Any, t0: Any, t_step: Any,
) -> Any:  # fmt: skip
    def emit(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        lines, count, source, s0, s_step, stride, target, t0, t_step = args
        kinds = signature.args
        e = Emitter(context, builder)
        read, write = e.at(e.data(kinds[2], source), s0), e.at(e.data(kinds[6], target), t0)
        last = builder.sub(count, INT(LANES))
        vectors = builder.sdiv(builder.add(count, INT(LANES - 1)), INT(LANES))

        def line(i: Any) -> tuple[Any, Any]:
            return e.at(read, builder.mul(i, s_step)), e.at(write, builder.mul(i, t_step))

        def copy(known: Any) -> None:
            """Lines of a vector or more; the last of them overlaps the one before."""
            with e.loop(lines, []) as (i, _):
                source, target = line(i)
                with e.loop(vectors, []) as (vector, _):
                    at = builder.mul(vector, INT(LANES))
                    at = builder.select(builder.icmp_signed("<", at, last), at, last)
                    seen = e.at(source, builder.mul(at, known))
                    e.store(strided(e, seen, known), e.at(target, at))

        with builder.if_else(builder.icmp_signed("<", count, INT(LANES))) as (few, many):
            with few, e.loop(lines, []) as (i, _):
                source, target = line(i)
                e.store(e.first_lanes(count, strided(e, source, stride)), target)
            with many, builder.if_else(builder.icmp_signed("==", stride, INT(1))) as (one, more):
                with one:
                    copy(INT(1))
                with more:
                    copy(stride)
        return context.get_dummy_value()

    n = types.int64
    return types.void(n, n, source, n, n, n, target, n, n), emit


sum_wide: Any = _sum_wide if DISABLED else _wide_intrinsic
sum_tall: Any = _sum_tall if DISABLED else _tall_intrinsic
add_products: Any = _add_products if DISABLED else _add_products_intrinsic
place_lines: Any = _place_lines if DISABLED else _place_intrinsic
