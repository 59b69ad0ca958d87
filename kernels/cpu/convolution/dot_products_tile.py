"""A tile of scalar products of planes: of OUTPUTS gradients with what TAPS taps see.

Vectors go along lines, so that neither is rearranged; each sum is a vector of LANES partial sums,
which are added up at the very end. For OUTPUTS * TAPS = 12 multiply-adds, OUTPUTS + TAPS vectors
are loaded: two load units bring them in that time, even where half of them cross a cache line. With
AVX2, 12 sums, the 3 vectors of an image and one of a gradient are all 16 registers.
"""

from typing import Any

import numpy as np
from numba import types
from numba.extending import intrinsic
from numpy.typing import NDArray

from .._compile.jit import DISABLED
from .._vector.instructions import INT, LANES, Emitter

F32 = NDArray[np.float32]

OUTPUTS = 4
TAPS = 3


def _add_dots(
    lines: int, vectors: int, x: F32, t0: int, t1: int, t2: int, step: int,
    dy: F32, dy0: int, sums: F32, sums0: int,
) -> None:  # fmt: skip
    """Add to each sum (o, t) the products of plane o of dy and of what tap t sees.

    A plane has `lines` lines of `vectors` vectors. In dy they are packed, [vector][line][o][LANES];
    what taps see begins at x[t0], x[t1] and x[t2], and has lines `step` floats apart. Sum (o, t) is
    LANES partial sums, from sums[sums0 + (o * TAPS + t) * LANES] on.
    """
    for o in range(OUTPUTS):
        for t, tap in enumerate((t0, t1, t2)):
            to = sums0 + (o * TAPS + t) * LANES
            for v in range(vectors):
                for i in range(lines):
                    at, seen = dy0 + ((v * lines + i) * OUTPUTS + o) * LANES, tap + i * step
                    for lane in range(LANES):
                        sums[to + lane] += x[seen + v * LANES + lane] * dy[at + lane]


@intrinsic  # type: ignore[untyped-decorator]
def _dots_intrinsic(
    typing: Any, lines: Any, vectors: Any, x: Any, t0: Any, t1: Any, t2: Any, step: Any,
    dy: Any, dy0: Any, sums: Any, sums0: Any,
) -> Any:  # fmt: skip
    """As many arguments as `_add_dots`: it is instructions, not a call."""

    def emit(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        lines, vectors, x, t0, t1, t2, step, dy, dy0, sums, sums0 = args
        kinds = signature.args
        e = Emitter(context, builder)
        image, gradients = e.data(kinds[2], x), e.at(e.data(kinds[7], dy), dy0)
        kept = e.at(e.data(kinds[9], sums), sums0)
        targets = [e.at(kept, k * LANES) for k in range(OUTPUTS * TAPS)]
        totals = [e.load(at) for at in targets]
        with e.loop(vectors, totals) as (vector, column):
            at = builder.mul(vector, INT(LANES))
            seen = [e.at(image, tap, at) for tap in (t0, t1, t2)]
            packed = e.at(gradients, builder.mul(builder.mul(at, lines), INT(OUTPUTS)))
            with e.loop(lines, column) as (i, found):
                line = builder.mul(i, step)
                values = [e.load(e.at(tap, line)) for tap in seen]
                planes = e.at(packed, builder.mul(i, INT(OUTPUTS * LANES)))
                for o in range(OUTPUTS):
                    gradient = e.load(e.at(planes, o * LANES))
                    for t in range(TAPS):
                        k = o * TAPS + t
                        found[k] = e.multiply_add(gradient, values[t], found[k])
        for total, to in zip(totals, targets, strict=True):
            e.store(total, to)
        return context.get_dummy_value()

    n = types.int64
    return types.void(n, n, x, n, n, n, n, dy, n, sums, n), emit


add_dots: Any = _add_dots if DISABLED else _dots_intrinsic
