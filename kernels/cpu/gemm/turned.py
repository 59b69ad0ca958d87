"""A product by way of C.T = B.T A.T, where that leaves fewer places of the tiles of C empty.

Rows are padded to LOW_ROWS, columns to COLUMNS. With AVX-512, 49 columns, the pixels of a map of
7 x 7, take two panels of 32 and fill three quarters of them; as the rows of C.T they fill 49 of 52.
What it costs is to write the sums twice: M N numbers, beside the M N K multiplications.
"""

from functools import lru_cache

import numpy as np
from numba import prange
from numpy.typing import NDArray

from .._compile.jit import kernel
from .._vector.instructions import LANES
from .._vector.lanes import transpose_lanes
from .._vector.scratch import whole
from .micro_kernel import COLUMNS
from .packing import padded_rows

F32 = NDArray[np.float32]

TURNING = 192  # multiplications that take as long as to write a number of C once more and turn it


@lru_cache(maxsize=1024)
def is_better(m: int, n: int, k: int) -> bool:
    """Whether C.T takes less time than C (m, n)."""
    if min(m, n) < LANES:
        return False
    usual = padded_rows(m) * whole(n, COLUMNS) * k
    return padded_rows(n) * whole(m, COLUMNS) * k + TURNING * m * n < usual


@kernel
def turn_over(sums: F32, start: int, factors: tuple[float, float], c: F32) -> None:
    """C (m, n) = alpha T.T + beta C, for T (n, m) in `sums`; m and n are LANES at least."""
    m, n = c.shape
    alpha, beta = np.float32(factors[0]), np.float32(factors[1])
    for block in prange((m + LANES - 1) // LANES):
        square = np.empty(LANES * LANES, np.float32)
        i = min(block * LANES, m - LANES)
        first = block * LANES - i  # rows that the block before has
        for column in range(0, n, LANES):
            j = min(column, n - LANES)
            transpose_lanes(int(LANES), sums, start + j * m + i, m, square, 0, int(LANES))
            for r in range(first, LANES):
                for s in range(column - j, LANES):
                    total = alpha * square[r * LANES + s]
                    c[i + r, j + s] = total + beta * c[i + r, j + s] if beta != 0 else total
