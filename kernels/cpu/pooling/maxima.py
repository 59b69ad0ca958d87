"""Maxima of windows: LANES windows of an image at once, side by side in a line of outputs.

Window j begins at column j * stride of the line. For each tap of the window the values that the
LANES windows see, `stride` apart, are collected into one vector and compared with the greatest so
far: one step for LANES windows, and no branch on the data. Windows of 2 or 3 columns, 2 apart, are
what most nets have: their vectors stay in the order in which two loads are shuffled, and are put
into that of the outputs once, at the end.
"""

from typing import Any, NamedTuple

import numpy as np
from llvmlite import ir
from numba import types
from numba.core import cgutils
from numba.extending import intrinsic
from numpy.typing import NDArray

from .._compile.jit import DISABLED
from .._vector.instructions import INT, LANES, SHORT, Emitter, constant
from .._vector.lanes import strided

F32 = NDArray[np.float32]
I32 = NDArray[np.int32]

_PIXELS = ir.VectorType(SHORT, LANES)

# What two loads, LANES - 1 apart, hold of windows that are 2 apart; and which windows these are.
_EVEN = [i for c in range(0, LANES, 4) for i in (c, c + 2, LANES + c + 1, LANES + c + 3)]
_ORDER = [
    w
    for c in range(LANES // 4)
    for w in (2 * c, 2 * c + 1, LANES // 2 + 2 * c, LANES // 2 + 2 * c + 1)
]


class Window(NamedTuple):
    """Rows and columns of a window; floats from a line of the image, and a window, to the next."""

    rows: int
    columns: int
    line: int
    stride: int


# ---- the function, in plain Python


def _window_maxima(
    window: Window, x: F32, x0: int, pixel: int, y: F32, y0: int, mask: I32, mask0: int
) -> None:
    """The first greatest value of LANES windows, and where it is.

    The first window begins at x[x0]; x[x0 + i] is pixel number `pixel + i` of the image. The
    maxima go to y[y0 ..], their pixels' numbers to mask[mask0 ..].
    """
    for lane in range(LANES):
        greatest, where = np.finfo(np.float32).min, -1
        for r in range(window.rows):
            for s in range(window.columns):
                at = r * window.line + s + lane * window.stride
                if x[x0 + at] > greatest:
                    greatest, where = x[x0 + at], pixel + at
        y[y0 + lane], mask[mask0 + lane] = greatest, where


# ---- the same, as LLVM instructions


class _Maxima(Emitter):
    """Writes the search: `window`, the address of the first window, and its pixel's number."""

    def __init__(self, context: Any, builder: Any, window: Any) -> None:
        super().__init__(context, builder)
        self.rows, self.columns, self.line, self.stride = cgutils.unpack_tuple(builder, window, 4)
        self.nothing = [
            constant(float(np.finfo(np.float32).min)),
            ir.Constant(_PIXELS, [-1] * LANES),
        ]

    def better(self, values: Any, pixels: Any, best: list[Any]) -> list[Any]:
        """The greater of values and best, with their pixels."""
        greater = self.builder.fcmp_ordered(">", values, best[0])
        pairs = zip((values, pixels), best, strict=True)
        return [self.builder.select(greater, *pair) for pair in pairs]

    def numbers(self, pixel: Any, at: Any, apart: Any) -> Any:
        """The numbers of the pixels that LANES windows see `at` floats after the first one's."""
        first = self.builder.trunc(self.builder.add(pixel, at), SHORT)
        return self.builder.add(self.spread(first, _PIXELS), apart)

    def two_apart(self, columns: int, image: Any, pixel: Any) -> list[Any]:
        """The maxima of windows of so many columns, with stride 2."""
        builder = self.builder
        doubled = ir.Constant(_PIXELS, [2 * w for w in _ORDER])
        found = list(self.nothing)
        with self.loop(self.rows, found) as (r, best):
            line = builder.mul(r, self.line)
            pixels = self.numbers(pixel, line, doubled)
            for s in range(columns):
                seen = self.at(image, line, s)
                values = self.shuffle(self.load(seen), self.load(self.at(seen, LANES - 1)), _EVEN)
                here = builder.add(pixels, ir.Constant(_PIXELS, [s] * LANES))
                best[:] = self.better(values, here, best)
        back = [_ORDER.index(w) for w in range(LANES)]
        return [self.shuffle(vector, vector, back) for vector in found]

    def any_stride(self, image: Any, pixel: Any) -> list[Any]:
        """The maxima of windows of any width."""
        builder = self.builder
        stride = self.spread(builder.trunc(self.stride, SHORT), _PIXELS)
        apart = builder.mul(stride, ir.Constant(_PIXELS, list(range(LANES))))
        found = list(self.nothing)
        with self.loop(self.rows, found) as (r, found_in_row):
            line = builder.mul(r, self.line)
            with self.loop(self.columns, found_in_row) as (s, best):
                at = builder.add(line, s)
                values = strided(self, self.at(image, at), self.stride)
                best[:] = self.better(values, self.numbers(pixel, at, apart), best)
        return found


@intrinsic  # type: ignore[untyped-decorator]
def _maxima_intrinsic(
    typing: Any, window: Any, x: Any, x0: Any, pixel: Any, y: Any, y0: Any, mask: Any, mask0: Any
) -> Any:
    def emit(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        window, x, x0, pixel, y, y0, mask, mask0 = args
        kinds = signature.args
        e = _Maxima(context, builder, window)
        image = e.at(e.data(kinds[1], x), x0)
        to_y = e.at(e.data(kinds[4], y), y0)
        to_mask = builder.bitcast(e.at(e.data(kinds[6], mask), mask0), _PIXELS.as_pointer())

        def two_apart(columns: int) -> Any:
            by_two = builder.icmp_signed("==", e.stride, INT(2))
            return builder.and_(by_two, builder.icmp_signed("==", e.columns, INT(columns)))

        def write(maxima: Any, pixels: Any) -> None:
            e.store(maxima, to_y)
            builder.store(pixels, to_mask).align = 4

        with builder.if_else(two_apart(2)) as (two, others):
            with two:
                write(*e.two_apart(2, image, pixel))
            with others, builder.if_else(two_apart(3)) as (three, rest):
                with three:
                    write(*e.two_apart(3, image, pixel))
                with rest:
                    write(*e.any_stride(image, pixel))
        return context.get_dummy_value()

    n = types.int64
    return types.void(window, x, n, n, y, n, mask, n), emit


window_maxima: Any = _window_maxima if DISABLED else _maxima_intrinsic
