"""Task naive: the inner product, a thread a number of y."""

from typing import Any

import numpy as np
import pytest

from minicaffe.device import load_kernel
from minicaffe.labs.emulated import run
from minicaffe.labs.plugin import close

SHAPES = [(1, 1, 1), (5, 7, 3), (33, 20, 9)]  # M, K, N


def product(rng: Any, m: int, k: int, n: int) -> tuple[Any, Any, Any]:
    """x, W and x W.T."""
    x, weight = (rng.standard_normal(s).astype(np.float32) for s in ((m, k), (n, k)))
    return x, weight, (x.astype(np.float64) @ weight.T).astype(np.float32)


@pytest.mark.parametrize(("m", "k", "n"), SHAPES)
def test_naive(rng: Any, m: int, k: int, n: int) -> None:
    """y = x W.T, overwritten."""
    x, weight, expected = product(rng, m, k, n)
    case = f"naive, x ({m}, {k}), W ({n}, {k})"
    y = np.full((m, n), 7, np.float32)
    naive = load_kernel("inner_product", "cuda").naive
    close("y", run(naive, x, weight, y, case=case).arrays[2], expected, case, rtol=1e-4, atol=1e-5)


def test_a_warp_writes_neighbours(rng: Any) -> None:
    """Which index goes fastest: seen in the sectors that the stores move."""
    x, weight, _ = product(rng, 32, 4, 32)
    naive = load_kernel("inner_product", "cuda").naive
    ran = run(naive, x, weight, np.zeros((32, 32), np.float32), case="naive, x (32, 4), W (32, 4)")
    ran.check_launched(1)
    counters = ran.counters[0]
    stores = [op.text.startswith("st.global") for op in counters.kernel.instructions]
    sectors = int(counters.sectors[stores].sum())
    assert sectors == 128, (
        f"{ran.case}: the stores of y move {sectors} sectors of 32 bytes, expected 128:"
        " neighbouring threads make neighbouring numbers of a row of y, each once"
    )
