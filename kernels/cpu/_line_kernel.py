"""Products of lines, for what has no matrix to share: a vector times a matrix.

The micro-kernel is fast because each number it loads is used for many others. Where one line of
results stands for itself, the time goes to reading, and what counts is to read in order and once.
"""

from typing import Any

import numpy as np
from numba import types
from numba.extending import intrinsic
from numpy.typing import NDArray

from ._compile.jit import DISABLED
from ._vector.instructions import INT, LANES, SHORT, Emitter, constant

F32 = NDArray[np.float32]

SUMS = 4  # vectors in which a scalar product is summed: an addition need not wait for the last


# ---- the functions, in plain Python


def _dot_lines(
    height: int, width: int, a: F32, a0: int, a_step: int, b: F32, b0: int, b_step: int
) -> np.float32:
    """The sum of a[h, w] * b[h, w] over h < height, w < width.

    May read up to LANES floats more than that of both, as if they were wider.
    """
    total = np.float32(0)
    for h in range(height):
        for w in range(width):
            total += a[a0 + h * a_step + w] * b[b0 + h * b_step + w]
    return total


# ---- the same, as LLVM instructions


@intrinsic  # type: ignore[untyped-decorator]
def _dot_intrinsic(
    typing: Any, height: Any, width: Any, a: Any, a0: Any, a_step: Any, b: Any, b0: Any, b_step: Any
) -> Any:
    def emit(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        height, width, a, a0, a_step, b, b0, b_step = args
        kinds = signature.args
        e = Emitter(context, builder)
        a_lines, b_lines = e.at(e.data(kinds[2], a), a0), e.at(e.data(kinds[5], b), b0)
        whole = builder.sdiv(width, INT(SUMS * LANES))
        smooth = builder.mul(whole, INT(SUMS * LANES))
        rest = builder.sdiv(builder.add(builder.sub(width, smooth), INT(LANES - 1)), INT(LANES))
        sums = [constant(0.0)] * SUMS
        with e.loop(height, sums) as (h, sums_of_lines):
            a_line = e.at(a_lines, builder.mul(h, a_step))
            b_line = e.at(b_lines, builder.mul(h, b_step))
            with e.loop(whole, sums_of_lines) as (turn, totals):
                for i in range(SUMS):
                    at = builder.add(builder.mul(turn, INT(SUMS * LANES)), INT(i * LANES))
                    values = e.load(e.at(a_line, at)), e.load(e.at(b_line, at))
                    totals[i] = e.multiply_add(*values, totals[i])
            with e.loop(rest, sums_of_lines) as (vector, totals):
                at = builder.add(smooth, builder.mul(vector, INT(LANES)))
                products = builder.fmul(e.load(e.at(a_line, at)), e.load(e.at(b_line, at)))
                inside = e.first_lanes(builder.sub(width, at), products)
                totals[0] = builder.fadd(totals[0], inside)
        for other in sums[1:]:
            sums[0] = builder.fadd(sums[0], other)
        total = builder.extract_element(sums[0], SHORT(0))
        for lane in range(1, LANES):
            total = builder.fadd(total, builder.extract_element(sums[0], SHORT(lane)))
        return total

    n = types.int64
    return types.float32(n, n, a, n, n, b, n, n), emit


dot_lines: Any = _dot_lines if DISABLED else _dot_intrinsic
