"""packed, pack and pack_turned of kernels/cpu/gemm/__init__.py."""

import numpy as np
import pytest

from minicaffe.kernels.cpu import gemm
from minicaffe.labs.numba.tests.products import SIZES, check
from minicaffe.labs.plugin import close


def test_pack_copies_a_part(rng: np.random.Generator) -> None:
    source = rng.standard_normal((9, 12)).astype(np.float32)
    panel = np.full((4, 5), np.nan, np.float32)
    gemm.pack(source, 3, 6, panel)
    case = "a panel of 4 x 5 from a matrix of 9 x 12, whose corner is [3, 6]"
    close("panel", panel, source[3:7, 6:11], case, rtol=0, atol=0)


def test_pack_turned_copies_a_part_transposed(rng: np.random.Generator) -> None:
    source = rng.standard_normal((9, 12)).astype(np.float32)
    panel = np.full((4, 5), np.nan, np.float32)
    gemm.pack_turned(source, 3, 6, panel)
    case = "panel[j, i] is source[3 + i, 6 + j]"
    close("panel", panel, source[3:8, 6:10].T, case, rtol=0, atol=0)


def test_it_adds_the_product(rng: np.random.Generator) -> None:
    check(gemm.packed, rng)


def test_it_adds_the_product_in_pieces(
    rng: np.random.Generator, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With pieces so small that each loop over pieces has several turns, the last one smaller."""
    monkeypatch.setattr(gemm, "DEEP", 8)
    monkeypatch.setattr(gemm, "WIDE", 6)
    check(gemm.packed, rng, [*SIZES, (5, 12, 16), (10, 19, 27)])


def test_pieces_are_no_larger_than_they_may_be(
    rng: np.random.Generator, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A panel is at most WIDE x DEEP: that is why it stays in the cache."""
    seen = []

    def watched(a: np.ndarray, turned: np.ndarray, c: np.ndarray, left: int) -> None:
        seen.append((a.shape[1], turned.shape))
        given(a, turned, c, left)

    given = gemm.tile
    monkeypatch.setattr(gemm, "tile", watched)
    monkeypatch.setattr(gemm, "DEEP", 8)
    monkeypatch.setattr(gemm, "WIDE", 6)
    check(gemm.packed, rng, [(10, 19, 27)])
    if not seen:
        pytest.fail("packed does not call tile (a panel, turned, at a time)")
    for depth, (wide, deep) in seen:
        if depth != deep or deep > 8 or wide > 6:
            pytest.fail(
                f"tile is called with rows of {depth} and a panel of {wide} x {deep}, where DEEP "
                "is 8 and WIDE is 6: pieces of K for A and B alike, none larger"
            )
    if len(seen) != 16:
        pytest.fail(
            f"tile is called {len(seen)} times, expected 16 (N 19 in pieces of 6, K 27 in pieces "
            "of 8): is a piece made twice?"
        )
