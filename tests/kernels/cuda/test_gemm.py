"""Matrix products in the largest tiles, which are chosen for more than a test should compute.

The emulator that checks runs them: it has no machine code to make of their long kernels.
"""

from itertools import product
from typing import Any

import numpy as np
import pytest

from minicaffe.device import load_kernel
from minicaffe.kernels.cuda._parts import parts_for
from minicaffe.kernels.cuda._tiles import LARGE
from minicaffe.kernels.cuda.gemm import _gemm, launch
from tests.kernels.cuda.case import normal, upload

# Two tiles each way with three steps; rows at multiples of 16 bytes, and at none
SIZES = [(132, 136, 20), (131, 129, 19)]


@pytest.mark.parametrize(("sizes", "trans"), [*product(SIZES, product((False, True), repeat=2))])
def test_large_tiles(cuda: str, emulated: None, sizes: Any, trans: tuple[bool, bool]) -> None:
    m, n, k = sizes
    a, b, c = normal(m, k), normal(k, n), normal(m, n)
    want = 1.5 * (a @ b) - 0.5 * c
    given: Any = [a.T.copy() if trans[0] else a, b.T.copy() if trans[1] else b, c]
    moved = upload(given, cuda, {})
    launch(*moved, *trans, 1.5, -0.5, k, LARGE)
    load_kernel("memory", cuda).download(moved[2], c)
    np.testing.assert_allclose(c, want, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("trans", [*product((False, True), repeat=2)])
@pytest.mark.parametrize("size", [(5, 130, 1030), (40, 9, 523)])
def test_a_great_depth_is_summed_in_parts(cuda: str, size: Any, trans: tuple[bool, bool]) -> None:
    m, n, k = size
    assert parts_for(1, k) == k // 256
    a, b, c = normal(m, k), normal(k, n), normal(m, n)
    a[:, -1], b[-1] = 100, 1  # what a part left out would be missed
    given: Any = [a.T.copy() if trans[0] else a, b.T.copy() if trans[1] else b, c]
    moved = upload(given, cuda, {})
    gemm, memory = load_kernel("gemm", cuda).gemm, load_kernel("memory", cuda)
    for beta in (0.0, 0.5):
        want = 1.5 * (a.astype(np.float64) @ b) + beta * c
        gemm(*moved, *trans, 1.5, beta)
        memory.download(moved[2], c)
        np.testing.assert_allclose(c, want, rtol=1e-5, atol=1e-4)


@pytest.mark.parametrize("trans", [*product((False, True), repeat=2)])
def test_what_large_tiles_are_made_of(compiler: None, trans: tuple[bool, bool]) -> None:
    """128 bits at a time, copies in the background, and a part of C that lies in registers."""
    sizes = ["(natural, natural, natural)", "natural", "(bool, bool, bool)"]
    text = _gemm(*trans, LARGE).ptx(*["float32[1]"] * 3, *sizes, "float32", "float32")
    assert text.count("ld.shared.v4.f32") == 4
    assert text.count("st.global.v4.f32") == 16
    wide, narrow = trans[0] + (not trans[1]), 8
    assert text.count("cp.async.cg.shared.global") == wide
    assert text.count("cp.async.ca.shared.global") == narrow
    assert ".local" not in text
    assert "div." not in text
