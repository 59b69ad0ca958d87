"""Floating point is exact: the results are those of whole numbers, rounded once, as PTX says."""

import zlib
from collections.abc import Callable
from fractions import Fraction

import numpy as np
import pytest

from tests.ptx.exact import hard_numbers, rounded
from tests.ptx.one_instruction import one

WAYS = ("rn", "rz", "rm", "rp")
F32, F64 = "float32", "float64"


def three(dtype: str) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    numbers = hard_numbers(dtype)
    random = np.random.default_rng(1)
    return numbers, random.permutation(numbers), random.permutation(numbers)


def expected(
    function: Callable[..., Fraction], way: str, dtype: str, *inputs: np.ndarray
) -> np.ndarray:
    exact = [function(*(Fraction(float(x)) for x in row)) for row in zip(*inputs, strict=True)]
    return np.array([rounded(each, dtype, way) for each in exact], dtype)


def assert_same(got: np.ndarray, want: np.ndarray) -> None:
    """Equal numbers; an exact oracle has one zero only."""
    bad = np.flatnonzero(~((got == want) | (np.isnan(got) & np.isnan(want))))
    assert not bad.size, f"element {bad[0]}: {got[bad[0]]!r}, expected {want[bad[0]]!r}"


@pytest.mark.parametrize("way", WAYS)
def test_fma_of_float32_rounds_once(way: str) -> None:
    a, b, c = three(F32)
    with np.errstate(over="ignore"):  # a third: what rounding has left of the product
        c = np.where(np.arange(c.size) % 3 == 0, -a * b, c)
    finite = np.isfinite(c)
    a, b, c = a[finite], b[finite], c[finite]
    got = one(f"fma.{way}.f32 d, a, b, c", a, b, c, result=F32)
    assert_same(got, expected(lambda x, y, z: x * y + z, way, F32, a, b, c))


def test_fma_of_float32_where_float64_rounds_to_a_tie() -> None:
    """The sum in float64 is a tie of float32 that the exact one is not: twice is not once."""
    a = np.array([1 + 2**-12, 1 + 2**-12, 2.0**-75, -(2.0**-75)], F32)
    b = np.array([1 + 2**-12, -(1 + 2**-12), 2.0**-75, 2.0**-75], F32)
    c = np.array([2.0**-80, 2.0**-80, 3 * 2.0**-149, 3 * 2.0**-149], F32)
    assert_same(
        one("fma.rn.f32 d, a, b, c", a, b, c, result=F32),
        expected(lambda x, y, z: x * y + z, "rn", F32, a, b, c),
    )


def test_fma_of_float64_rounds_once() -> None:
    a, b, c = three(F64)
    with np.errstate(over="ignore"):
        c = np.where(np.arange(c.size) % 3 == 0, -a * b, c)
    finite = np.isfinite(c)
    a, b, c = a[finite], b[finite], c[finite]
    got = one("fma.rn.f64 d, a, b, c", a, b, c, result=F64)
    assert_same(got, expected(lambda x, y, z: x * y + z, "rn", F64, a, b, c))


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize(
    ("name", "function"),
    [
        ("add", lambda x, y: x + y),
        ("sub", lambda x, y: x - y),
        ("mul", lambda x, y: x * y),
        ("div", lambda x, y: x / y),
    ],
)
def test_float32_in_each_direction(name: str, function: Callable[..., Fraction], way: str) -> None:
    a, b, _ = three(F32)
    if name == "div":
        a, b = a[b != 0], b[b != 0]
    got = one(f"{name}.{way}.f32 d, a, b", a, b, result=F32)
    assert_same(got, expected(function, way, F32, a, b))


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize(
    ("name", "function"), [("add", lambda x, y: x + y), ("sub", lambda x, y: x - y)]
)
def test_float64_sums_in_each_direction(
    name: str, function: Callable[..., Fraction], way: str
) -> None:
    a, b, _ = three(F64)
    small = (np.abs(a) < 1e300) & (np.abs(b) < 1e300)
    got = one(f"{name}.{way}.f64 d, a, b", a[small], b[small], result=F64)
    assert_same(got, expected(function, way, F64, a[small], b[small]))


def test_sqrt_and_reciprocals() -> None:
    a = np.abs(hard_numbers(F32))
    a = a[a > 0]
    wide = a.astype(F64)
    assert_same(one("sqrt.rn.f32 d, a", a, result=F32), np.sqrt(wide).astype(F32))
    assert_same(one("sqrt.approx.f32 d, a", a, result=F32), np.sqrt(wide).astype(F32))
    with np.errstate(over="ignore"):
        assert_same(one("rcp.rn.f32 d, a", a, result=F32), (1 / wide).astype(F32))
        assert_same(one("rsqrt.approx.f32 d, a", a, result=F32), (1 / np.sqrt(wide)).astype(F32))
    for way in ("rz", "rm", "rp"):
        root = one(f"sqrt.{way}.f32 d, a", a, result=F32).astype(F64)
        over = [Fraction(x) ** 2 > Fraction(y) for x, y in zip(root, wide, strict=True)]
        under = [Fraction(x) ** 2 < Fraction(y) for x, y in zip(root, wide, strict=True)]
        assert not any(under if way == "rp" else over)


def test_an_approximate_reciprocal_of_float64_has_32_bits() -> None:
    a = np.array([3.0, 0.1, 1e300, -7.0, 2.0**1023])
    got = one("rcp.approx.ftz.f64 d, a", a, result=F64)
    assert not (got.view(np.uint64) & np.uint64(0xFFFFFFFF)).any()
    np.testing.assert_allclose(got[:4], 1 / a[:4], rtol=2.0**-19)
    assert got[4] == 0  # 2^-1023 is subnormal


def test_ftz_takes_and_gives_zeros_for_subnormal_numbers() -> None:
    tiny = np.float32(2.0**-127)
    a = np.array([tiny, -tiny, 2.0**-126, 1], F32)
    assert one("mul.ftz.f32 d, a, a", a, result=F32).tolist() == [0, 0, 0, 1]
    got = one("add.ftz.f32 d, a, b", a, np.zeros(4, F32), result=F32)
    assert got.tolist() == [0, 0, float(np.float32(2.0**-126)), 1]
    kept = one("neg.ftz.f32 d, a", a, result=F32)
    assert np.signbit(kept).tolist() == [True, False, True, True]
    assert one("setp.gt.ftz.f32 d, a, b", a, np.zeros(4, F32), result="bool").tolist() == [
        False,
        False,
        True,
        True,
    ]


def test_sat_is_between_0_and_1() -> None:
    a = np.array([-1, 0.25, 3, np.nan, np.inf, -np.inf], F32)
    got = one("add.sat.f32 d, a, b", a, np.zeros(6, F32), result=F32)
    assert got.tolist() == [0, 0.25, 1, 0, 1, 0]


@pytest.mark.parametrize("dtype", [F32, F64])
def test_min_and_max(dtype: str) -> None:
    nan, inf = np.nan, np.inf
    a = np.array([nan, 1, -0.0, 0.0, nan, -inf, 2, -3], dtype)
    b = np.array([1, nan, 0.0, -0.0, nan, nan, 2, 4], dtype)
    kind = "f32" if dtype == F32 else "f64"
    low, high = (one(f"{name}.{kind} d, a, b", a, b, result=dtype) for name in ("min", "max"))
    np.testing.assert_array_equal(low, np.array([1, 1, 0, 0, nan, -inf, 2, -3]))
    np.testing.assert_array_equal(high, np.array([1, 1, 0, 0, nan, -inf, 2, 4]))
    assert np.signbit(low[2:4]).tolist() == [True, True]
    assert np.signbit(high[2:4]).tolist() == [False, False]


def test_min_nan_passes_a_nan_on() -> None:
    a, b = np.array([np.nan, 1, 2], F32), np.array([1, np.nan, 3], F32)
    got = one("min.NaN.f32 d, a, b", a, b, result=F32)
    assert np.isnan(got[:2]).all() and got[2] == 2


def test_signs() -> None:
    a, b = np.array([1.5, -2, 0, -0.0], F32), np.array([-1, 1, -1, 3], F32)
    copied = one("copysign.f32 d, a, b", a, b, result=F32)  # the sign of a, the size of b
    assert copied.tolist() == [1, -1, 1, -3]
    assert one("abs.f32 d, a", a, result=F32).tolist() == [1.5, 2, 0, 0]
    assert one("neg.f32 d, a", a, result=F32).tolist() == [-1.5, 2, 0, 0]


def by_bits(first: float, last: float, count: int) -> np.ndarray:
    """Positive numbers of all sizes between two: as far from each other as their bits are."""
    low, high = np.array([first, last], F32).view(np.int32).astype(np.int64)
    return (low + np.arange(count) * (high - low) // count).astype(np.int32).view(F32)


APPROXIMATE = {
    "ex2": (np.exp2, np.linspace(-130, 128, 4001)),
    "lg2": (np.log2, np.concatenate([by_bits(1e-38, 3e38, 3000), 1 + np.arange(-99, 99) / 1e5])),
    "sin": (np.sin, np.linspace(-100 * np.pi, 100 * np.pi, 4001)),
    "cos": (np.cos, np.linspace(-100 * np.pi, 100 * np.pi, 4001)),
    "tanh": (np.tanh, np.concatenate([np.linspace(-10, 10, 2001), by_bits(1e-30, 1, 999)])),
}
# These bits are the same on every processor, which sin() of this or that library is not.
CHECKSUMS = {
    "ex2": 3324975084,
    "lg2": 1488676907,
    "sin": 2283412171,
    "cos": 974018781,
    "tanh": 1568809958,
}


@pytest.mark.parametrize("name", APPROXIMATE)
def test_approximations_are_the_nearest_numbers(name: str) -> None:
    function, numbers = APPROXIMATE[name]
    a = numbers.astype(F32)
    with np.errstate(under="ignore", over="ignore"):
        want = function(a.astype(F64)).astype(F32)
    got = one(f"{name}.approx.f32 d, a", a, result=F32)
    ulp = np.abs(got.view(np.int32).astype(np.int64) - want.view(np.int32))
    assert ulp.max() <= 1 and np.count_nonzero(ulp) <= 2
    assert zlib.crc32(got.tobytes()) == CHECKSUMS[name]


def test_approximations_at_the_ends() -> None:
    inf, nan = np.inf, np.nan
    a = np.array([inf, -inf, nan, 0.0, -0.0, -1.0, 200.0, -200.0], F32)
    ex2, lg2, tanh, sin = (
        one(f"{name}.approx.f32 d, a", a, result=F32) for name in ("ex2", "lg2", "tanh", "sin")
    )
    np.testing.assert_array_equal(ex2, np.array([inf, 0, nan, 1, 1, 0.5, inf, 0], F32))
    assert lg2[0] == inf and np.isnan(lg2[[1, 2, 5, 7]]).all()
    assert lg2[3] == lg2[4] == -inf
    np.testing.assert_array_equal(tanh[:5], np.array([1, -1, nan, 0, -0.0], F32))
    assert np.signbit(tanh[4]) and np.isnan(sin[:3]).all()


def test_testp() -> None:
    a = np.array([1, np.inf, np.nan, 2.0**-130, 0], F32)
    for name, want in {
        "finite": [1, 0, 0, 1, 1],
        "infinite": [0, 1, 0, 0, 0],
        "number": [1, 1, 0, 1, 1],
        "notanumber": [0, 0, 1, 0, 0],
        "normal": [1, 0, 0, 0, 0],
        "subnormal": [0, 0, 0, 1, 0],
    }.items():
        assert one(f"testp.{name}.f32 d, a", a, result="bool").tolist() == want
