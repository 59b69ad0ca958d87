"""Filters that lie one after the other, turned: number k of all of them side by side.

What packs or transforms filters wants the same number of LANES filters in a vector, and in memory
the numbers of a filter are neighbours. They are read in whole vectors, which reach beyond a filter
of 3 x 3 into the next, and turned in registers.
"""

import numpy as np
from numpy.typing import NDArray

from .._compile.jit import inner
from .._vector.instructions import LANES
from .._vector.lanes import transpose_lanes

F32 = NDArray[np.float32]


@inner
def turn_taps(
    filters: int, taps: int, weight: F32, start: int, step: int, out: F32, to: int, width: int
) -> None:
    """Write number k of filter i, weight[start + i * step + k], to out[to + k * width + i].

    For i < filters <= width and k < taps. What stands after them, up to LANES numbers after the
    last of LANES k, means nothing afterwards.
    """
    for k in range(0, taps, LANES):
        for i in range(0, filters, LANES):
            count, at = min(LANES, filters - i), start + i * step + k
            if at + (count - 1) * step + LANES <= weight.size:
                transpose_lanes(count, weight, at, step, out, to + k * width + i, width)
            else:
                for tap in range(min(LANES, taps - k)):
                    for j in range(count):
                        out[to + (k + tap) * width + i + j] = weight[at + j * step + tap]
