"""tile and add_tile of kernels/cpu/gemm/__init__.py: C[:, left : left + N] += A B."""

import numpy as np
from numpy.typing import NDArray

from minicaffe.kernels.cpu import gemm
from minicaffe.labs.numba.tests.products import check, matrices
from minicaffe.labs.plugin import close

F32 = NDArray[np.float32]


def multiply(a: F32, b: F32, c: F32) -> None:
    """A tile's way of it: B is transposed first."""
    gemm.tile(a, np.ascontiguousarray(b.T), c, 0)


def test_it_adds_the_product(rng: np.random.Generator) -> None:
    check(multiply, rng)


def test_it_adds_to_columns_from_left_on(rng: np.random.Generator) -> None:
    for m, n, k, left, right in ((5, 4, 10, 3, 2), (2, 1, 3, 1, 0), (3, 9, 17, 7, 5)):
        a, b, _ = matrices(m, n, k, rng)
        c = rng.standard_normal((m, left + n + right)).astype(np.float32)
        expected = np.float64(c)
        expected[:, left : left + n] += a.astype(np.float64) @ b
        gemm.tile(a, np.ascontiguousarray(b.T), c, left)
        case = f"M {m}, N {n}, K {k}, left {left}; other columns of C must stay as they are"
        close("C", c, expected, case, rtol=1e-4, atol=1e-4)
