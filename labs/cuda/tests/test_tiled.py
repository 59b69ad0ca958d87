"""Task tiled: the inner product by tiles in shared memory."""

import time
from statistics import median
from typing import Any

import numpy as np
import pytest

from minicaffe.device import load_kernel
from minicaffe.labs.emulated import run
from minicaffe.labs.plugin import close

SHAPES = [(1, 1, 1), (16, 16, 16), (5, 40, 33), (40, 17, 3)]  # M, K, N


def inner_product() -> Any:
    return load_kernel("inner_product", "cuda")


def product(rng: Any, m: int, k: int, n: int) -> tuple[Any, Any, Any]:
    """x, W and x W.T."""
    x, weight = (rng.standard_normal(s).astype(np.float32) for s in ((m, k), (n, k)))
    return x, weight, (x.astype(np.float64) @ weight.T).astype(np.float32)


@pytest.mark.parametrize(("m", "k", "n"), SHAPES)
def test_tiled(rng: Any, m: int, k: int, n: int) -> None:
    """Also where tiles stand over the edges. A race or an index beyond an end fails here."""
    x, weight, expected = product(rng, m, k, n)
    case = f"tiled, x ({m}, {k}), W ({n}, {k})"
    y = np.full((m, n), 7, np.float32)
    ran = run(inner_product().tiled, x, weight, y, case=case)
    close("y", ran.arrays[2], expected, case, rtol=1e-4, atol=1e-5)


def test_empty() -> None:
    """No sample: nothing is launched, and nothing fails."""
    case = "tiled, x (0, 4), W (5, 4)"
    x, weight, y = (np.zeros(s, np.float32) for s in ((0, 4), (5, 4), (0, 5)))
    run(inner_product().tiled, x, weight, y, case=case)


@pytest.mark.parametrize("bias", [True, False])
@pytest.mark.parametrize("transpose", [True, False])
def test_forward(rng: Any, bias: bool, transpose: bool) -> None:
    """The family's function: with and without bias, W either way."""
    x, weight, expected = product(rng, 9, 12, 5)
    given = rng.standard_normal(5).astype(np.float32) if bias else None
    expected = expected + (0 if given is None else given)
    weight = np.ascontiguousarray(weight.T) if transpose else weight
    case = f"inner_product.forward, x (9, 12), {'a' if bias else 'no'} bias, transpose {transpose}"
    y = np.full((9, 5), 7, np.float32)
    ran = run(inner_product().forward, x, weight, given, y, transpose, case=case)
    kernels = {each.kernel.short_name for each in ran.counters}
    close("y", ran.arrays[-1], expected, case, rtol=1e-4, atol=1e-5)
    assert transpose or "_tiled" in kernels, f"{case}: the kernel _tiled did not run"


def test_loads(rng: Any) -> None:
    """A number that was fetched serves a whole row or column of the tile."""
    x, weight, _ = product(rng, 32, 64, 32)
    case = "tiled, x (32, 64), W (32, 64)"
    ran = run(inner_product().tiled, x, weight, np.zeros((32, 32), np.float32), case=case)
    ran.check_launched(1, blocks=4, threads=256)
    assert ran.requests <= 9, (
        f"{case}: a thread makes {ran.requests:g} requests to global memory, expected 9 (4 tiles of"
        " x and of W, and y; the naive kernel makes 129): multiply from the tiles"
    )
    ran.check_coalesced()


def test_banks(rng: Any) -> None:
    """Requests to shared memory are (nearly) all served in one pass."""
    x, weight, _ = product(rng, 32, 64, 32)
    case = "tiled, x (32, 64), W (32, 64)"
    ran = run(inner_product().tiled, x, weight, np.zeros((32, 32), np.float32), case=case)
    ran.check_passes(1.25)


def test_faster_on_a_card(monkeypatch: pytest.MonkeyPatch) -> None:
    """Where this machine has a GPU, `tiled` is the faster way there, at 1024^3."""
    from minicaffe.kernels.cuda import _backend, memory

    monkeypatch.setenv("MINICAFFE_CUDA", "gpu")
    monkeypatch.setattr(_backend, "_of_card", lambda card: _backend._named("gpu", card))
    if not memory.available("cuda")[0]:
        pytest.skip("there is no GPU here, and the emulator has no clock")
    x, weight, y = (memory.allocate(1 << 20, "cuda").reshape(1024, 1024) for _ in range(3))
    seconds = {}
    for way in ("naive", "tiled"):
        times = []
        for _ in range(6):
            memory.synchronize("cuda")
            began = time.perf_counter()
            getattr(inner_product(), way)(x, weight, y)
            memory.synchronize("cuda")
            times.append(time.perf_counter() - began)
        seconds[way] = median(times[1:])
    assert seconds["tiled"] < seconds["naive"], (
        f"on this GPU tiled takes {1e3 * seconds['tiled']:.2f} ms for 1024 x 1024 x 1024, naive"
        f" {1e3 * seconds['naive']:.2f} ms: tiled is to be the faster one"
    )
