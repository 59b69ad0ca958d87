"""gemm by `multiply`: right for all sizes, and how fast beside NumPy's BLAS."""

from __future__ import annotations

import time
from collections.abc import Callable

import numpy as np

from minicaffe.kernels.cpu import gemm
from minicaffe.labs.numba.tests.products import SIZES, check, matrices
from minicaffe.labs.plugin import close, ratio_points

SIDE = 1024
LOW, HIGH = 0.05, 0.5  # of BLAS's speed
TURNS = 7
ADVICE = (
    "minicaffe lab run inspect -kernel gemm shows the innermost loop: are its multiply-adds "
    "vectors, and how many loads stand beside each?"
)


def test_it_adds_the_product(rng: np.random.Generator) -> None:
    check(gemm.multiply, rng, [*SIZES, (1, 100, 20), (7, 1, 600), (4, 5, 530)])


def test_gemm_transposes_and_scales(rng: np.random.Generator) -> None:
    a, b, c = matrices(7, 10, 21, rng)
    expected = 0.5 * (a.astype(np.float64) @ b) - 2 * c
    for trans_a in (False, True):
        for trans_b in (False, True):
            out = c.copy()
            left = np.ascontiguousarray(a.T) if trans_a else a
            right = np.ascontiguousarray(b.T) if trans_b else b
            gemm.gemm(left, right, out, trans_a, trans_b, 0.5, -2)
            case = f"alpha 0.5, beta -2, trans_a {trans_a}, trans_b {trans_b}"
            close("C", out, expected, case, rtol=1e-4, atol=1e-4)


def test_speed(rng: np.random.Generator) -> None:
    """Processor time, in turns, of a product of 1024 x 1024 matrices; the median of each."""
    a, b, c = matrices(SIDE, SIDE, SIDE, rng)
    mine, blas = timed(lambda: gemm.gemm(a, b, c), lambda: np.matmul(a, b, out=c))
    ratio_points(f"gemm of {SIDE} x {SIDE} matrices", mine, blas, LOW, HIGH, ADVICE)


def timed(*runs: Callable[[], object]) -> list[float]:
    """Seconds of each, the median of its turns; fewer turns where one takes long."""
    for run in runs:
        run()
    found: list[list[float]] = [[] for _ in runs]
    end = time.perf_counter() + 10
    for _ in range(TURNS):
        for run, seconds in zip(runs, found, strict=True):
            begin = time.process_time()
            run()
            seconds.append(time.process_time() - begin)
        if time.perf_counter() > end:
            break
    return [float(np.median(seconds)) for seconds in found]
