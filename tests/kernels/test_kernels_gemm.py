"""gemm: every size and transposition on both devices, BLAS's rules for alpha and beta."""

import importlib
from collections.abc import Iterator

import numpy as np
import pytest

import minicaffe
from minicaffe.device import load_kernel
from minicaffe.errors import Error
from minicaffe.kernels.cpu.gemm import turned
from minicaffe.kernels.cpu.gemm.micro_kernel import COLUMNS
from tests.device_kernels import kernels_of

# M, N, K: nothing, one, less than a tile, a multiple and not, more than one block of each loop
SIZES = [
    (0, 3, 2),
    (3, 0, 2),
    (2, 3, 0),
    (1, 1, 1),
    (1, 33, 70),
    (5, 2, 9),
    (13, 17, 8),
    (24, 64, 40),
    (64, 10, 50),
    (50, 64, 300),
    (131, 37, 257),
    (7, 1100, 20),
    (1, 530, 130),  # a few rows of A, or columns of B, for which the other is not packed
    (1, 4130, 33),
    (2, 40, 70),
    (3, 16, 97),
    (5, 23, 163),
    (13, 300, 420),
    (90, 2, 65),
    (1, 10, 500),  # a few of both
    (13, 3, 450),
    (32, 40, 1030),
    (4, 2090, 37),
    (COLUMNS * 4, COLUMNS + 1, 330),  # columns of which few fill their last panel: C.T is made
    (COLUMNS + 7, 2 * COLUMNS + 1, 700),
]
SCALES = [(1, 0), (1, 1), (0.5, -2), (0, 0.5)]  # alpha, beta


@pytest.fixture
def threads_restored() -> Iterator[None]:
    """A test may change the number of threads."""
    before = minicaffe.num_threads()
    yield
    minicaffe.set_num_threads(before)


def operands(
    m: int, n: int, k: int, trans_a: bool, trans_b: bool
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Random A, B, C."""
    rng = np.random.default_rng(1)
    a = rng.standard_normal((k, m) if trans_a else (m, k), np.float32)
    b = rng.standard_normal((n, k) if trans_b else (k, n), np.float32)
    return a, b, rng.standard_normal((m, n), np.float32)


@pytest.mark.parametrize("trans_b", [False, True])
@pytest.mark.parametrize("trans_a", [False, True])
@pytest.mark.parametrize("size", SIZES, ids=str)
def test_gemm_is_its_definition(
    size: tuple[int, int, int], trans_a: bool, trans_b: bool, device: str
) -> None:
    a, b, c = operands(*size, trans_a, trans_b)
    product = (a.T if trans_a else a).astype(np.float64) @ (b.T if trans_b else b)
    for alpha, beta in SCALES:
        actual = c.copy()
        kernels_of("gemm", device).gemm(a, b, actual, trans_a, trans_b, alpha, beta)
        expected = alpha * product + beta * c
        np.testing.assert_allclose(actual, expected, rtol=1e-4, atol=1e-4)


def test_c_is_not_read_when_beta_is_0(device: str) -> None:
    a, b, c = operands(9, 20, 5, False, False)
    c[...] = np.nan
    kernels_of("gemm", device).gemm(a, b, c)
    np.testing.assert_allclose(c, a @ b, rtol=1e-5, atol=1e-5)


def test_a_and_b_are_not_read_when_alpha_is_0(device: str) -> None:
    a, b, c = operands(9, 20, 5, False, False)
    expected = 3 * c
    kernels_of("gemm", device).gemm(np.full_like(a, np.nan), b, c, alpha=0, beta=3)
    np.testing.assert_array_equal(c, expected)


def test_nan_and_infinity_stay_in_their_row(device: str) -> None:
    a, b, c = operands(14, 40, 30, False, False)
    a[3, 7], a[9, 0] = np.nan, np.inf
    kernels_of("gemm", device).gemm(a, b, c)
    assert np.isnan(c[3]).all()
    assert np.isinf(c[9]).all()
    assert np.isfinite(np.delete(c, [3, 9], axis=0)).all()


def test_columns_that_fill_few_of_their_places_are_rows_of_the_transposed() -> None:
    rows = 35 * COLUMNS
    assert turned.is_better(rows, COLUMNS + 1, 700)
    assert not turned.is_better(rows, 4 * COLUMNS, 700)
    assert not turned.is_better(rows, COLUMNS + 1, 3)  # it is soon done: turning takes longer


@pytest.mark.parametrize("trans_b", [False, True])
@pytest.mark.parametrize("trans_a", [False, True])
@pytest.mark.parametrize(
    "size",
    [
        (200, 300, 400),
        (3, 900, 60),
        (700, 5, 80),
        (2, 700, 400),
        (9, 190, 777),
        (150, 3, 900),
        (512, 49, 300),
    ],
    ids=str,
)
def test_the_bits_do_not_depend_on_threads(
    size: tuple[int, int, int], trans_a: bool, trans_b: bool, threads_restored: None
) -> None:
    a, b, c = operands(*size, trans_a, trans_b)
    found = []
    for threads in (2, 1):
        minicaffe.set_num_threads(threads)
        found.append(c.copy())
        load_kernel("gemm", "cpu").gemm(a, b, found[-1], trans_a, trans_b, beta=1)
    np.testing.assert_array_equal(*found)


@pytest.mark.parametrize("threads", [1, 2, 3, 5])
@pytest.mark.parametrize("trans_b", [False, True])
@pytest.mark.parametrize("size", [(2, 700, 400), (9, 190, 777), (3, COLUMNS + 1, 100)], ids=str)
def test_the_bits_of_few_rows_do_not_depend_on_how_columns_are_shared(
    size: tuple[int, int, int], trans_b: bool, threads: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A share for each thread; here they are worked off by as many threads as there are."""
    m, n, k = size
    thin = importlib.import_module("minicaffe.kernels.cpu.gemm.few_rows")
    assert thin.serves(m, n, k, False, trans_b)
    a, b, c = operands(m, n, k, False, trans_b)
    whole, shared = c.copy(), c.copy()
    monkeypatch.setattr(thin, "num_threads", lambda: 1)
    thin.multiply(a, b, whole, False, trans_b, 0.5, -2)
    monkeypatch.setattr(thin, "num_threads", lambda: threads)
    monkeypatch.setattr(thin, "_PARALLEL_FROM", 0)
    thin.multiply(a, b, shared, False, trans_b, 0.5, -2)
    np.testing.assert_array_equal(shared, whole)


@pytest.mark.parametrize("trans_b", [False, True])
def test_nan_and_infinity_in_a_few_rows_stay_in_their_place(trans_b: bool) -> None:
    a, b, c = operands(4, 40, 203, False, trans_b)
    a[1, 202], a[2, 197] = np.nan, np.inf  # in the last vector, which overlaps the one before
    gemm = load_kernel("gemm", "cpu").gemm
    gemm(a, b, c, trans_b=trans_b)
    assert np.isnan(c[1]).all()
    assert np.isinf(c[2]).all()
    assert np.isfinite(c[[0, 3]]).all()
    a[1], a[2] = 0, 0
    (b if trans_b else b.T)[7, 198] = -np.inf
    gemm(np.abs(a) + 1, b, c, trans_b=trans_b)
    assert (c[:, 7] == -np.inf).all()
    assert np.isfinite(np.delete(c, 7, axis=1)).all()


@pytest.mark.parametrize("threads", [1, 2, 3, 4, 6, 16])
def test_the_grid_of_threads_covers_c(threads: int) -> None:
    across, down = load_kernel("gemm", "cpu").grid(500, 64, threads)
    assert across * down == threads


def test_gemm_refuses_shapes_that_do_not_fit() -> None:
    a, b, c = operands(4, 5, 6, False, False)
    gemm = load_kernel("gemm", "cpu").gemm
    with pytest.raises(Error, match=r"A \(4, 6\) and B \(6, 5\) with trans_a=True"):
        gemm(a, b, c, trans_a=True)
    with pytest.raises(Error, match="C-contiguous"):
        gemm(a, b, np.zeros((5, 4), np.float32).T)
