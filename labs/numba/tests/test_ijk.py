"""ijk of kernels/cpu/gemm/__init__.py: C += A B."""

import numpy as np

from minicaffe.kernels.cpu import gemm
from minicaffe.labs.numba.tests.products import check


def test_it_adds_the_product(rng: np.random.Generator) -> None:
    check(gemm.ijk, rng)
