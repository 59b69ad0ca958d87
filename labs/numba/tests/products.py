"""Matrices for the tests of a way to multiply, and the sentence that says what came out."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
from numpy.typing import NDArray

from minicaffe.labs.plugin import close

F32 = NDArray[np.float32]

# M, N, K: one number, less than a tile, no multiple of one, and depths around a vector
SIZES = ((1, 1, 1), (2, 5, 3), (3, 4, 8), (4, 3, 9), (13, 17, 33), (7, 40, 20), (1, 9, 5))


def matrices(m: int, n: int, k: int, rng: np.random.Generator) -> tuple[F32, F32, F32]:
    """A (M, K), B (K, N) and a C (M, N) that is not 0, since products are added to it."""
    a, b, c = (rng.standard_normal(shape).astype(np.float32) for shape in ((m, k), (k, n), (m, n)))
    return a, b, c


def check(
    multiply: Callable[[F32, F32, F32], None],
    rng: np.random.Generator,
    sizes: Sequence[tuple[int, int, int]] = SIZES,
) -> None:
    """multiply(a, b, c) adds A B to C, for each size; A and B stay as they are."""
    for m, n, k in sizes:
        a, b, c = matrices(m, n, k, rng)
        kept = a.copy(), b.copy()
        expected = c + a.astype(np.float64) @ b
        case = f"M {m}, N {n}, K {k}; C += A B, and C was not 0"
        multiply(a, b, c)
        close("C", c, expected, case, rtol=1e-4, atol=1e-4)
        close("A", a, kept[0], f"{case}; A must stay as it is", rtol=0, atol=0)
        close("B", b, kept[1], f"{case}; B must stay as it is", rtol=0, atol=0)
