"""cvt against Python's numbers."""

import math
from fractions import Fraction

import numpy as np
import pytest

from tests.ptx.exact import hard_numbers, rounded
from tests.ptx.one_instruction import execute, one
from tests.ptx.test_integers import TYPES, numbers, wrapped

WHOLE = {"rni": round, "rzi": math.trunc, "rmi": math.floor, "rpi": math.ceil}


@pytest.mark.parametrize("target", TYPES)
@pytest.mark.parametrize("source", TYPES)
def test_between_integers(target: str, source: str) -> None:
    a = numbers(source)
    got = one(f"cvt.{target}.{source} d, a", a, result=TYPES[target])
    assert got.tolist() == [wrapped(x, target) for x in a.tolist()]
    got = one(f"cvt.sat.{target}.{source} d, a", a, result=TYPES[target])
    limits = np.iinfo(TYPES[target])
    assert got.tolist() == [min(max(x, limits.min), limits.max) for x in a.tolist()]


@pytest.mark.parametrize("way", WHOLE)
@pytest.mark.parametrize("source", ["float32", "float64"])
@pytest.mark.parametrize("target", ["s32", "u32", "s64", "u64", "s16", "u16"])
def test_from_float_to_integer(target: str, source: str, way: str) -> None:
    a = np.concatenate([hard_numbers(source), np.arange(-8, 8) / 4, [2.0**31, 2.0**63, -(2.0**63)]])
    a = np.concatenate([a.astype(source), np.array([np.nan, np.inf, -np.inf], source)])
    limits = np.iinfo(TYPES[target])

    def expected(x: float) -> int:
        if math.isnan(x):
            return 0
        if math.isinf(x):
            return limits.max if x > 0 else limits.min
        return min(max(WHOLE[way](x), limits.min), limits.max)

    got = one(f"cvt.{way}.{target}.f{source[5:]} d, a", a, result=TYPES[target])
    assert got.tolist() == [expected(x) for x in a.tolist()]


@pytest.mark.parametrize("source", ["s32", "u32", "s64", "u64", "s16"])
@pytest.mark.parametrize("target", ["float32", "float64"])
@pytest.mark.parametrize("way", ["rn", "rz", "rm", "rp"])
def test_from_integer_to_float(target: str, source: str, way: str) -> None:
    a = numbers(source)
    got = one(f"cvt.{way}.f{target[5:]}.{source} d, a", a, result=target)
    assert got.tolist() == [rounded(Fraction(x), target, way) for x in a.tolist()]


@pytest.mark.parametrize("way", ["rn", "rz", "rm", "rp"])
def test_from_float64_to_float32(way: str) -> None:
    a = np.concatenate([hard_numbers("float64"), hard_numbers("float32").astype("float64") * 1.1])
    got = one(f"cvt.{way}.f32.f64 d, a", a, result="float32")
    assert got.tolist() == [rounded(Fraction(x), "float32", way) for x in a.tolist()]


def test_between_floats() -> None:
    a = hard_numbers("float32")
    assert (one("cvt.f64.f32 d, a", a, result="float64") == a.astype("float64")).all()
    b = np.array([0.5, 1.5, -0.5, 2.5, -1.2, 7.9], "float32")
    for way, function in WHOLE.items():
        got = one(f"cvt.{way}.f32.f32 d, a", b, result="float32")
        assert got.tolist() == [function(x) for x in b.tolist()]
    c = np.array([-1, 0.5, 2, np.nan], "float32")
    assert one("cvt.sat.f32.f32 d, a", c, result="float32").tolist() == [0, 0.5, 1, 0]
    half = np.array([1.5, 65504, 1e-7, np.inf], "float16")
    got = one("cvt.f32.f16 d, a", half, result="float32")
    np.testing.assert_array_equal(got, half.astype("float32"))
    (back,) = execute("cvt.rn.f16.f32 d, a;", [got], "float16")
    np.testing.assert_array_equal(back, half)


def test_to_tf32_keeps_ten_bits_and_rounds_ties_away_from_zero() -> None:
    a = np.array([1 + 2**-10, 1 + 2**-11, -(1 + 2**-11), 1 + 2**-12, np.inf, 0], "float32")
    got = one("cvt.rna.tf32.f32 d, a", a, result="uint32").view("float32")
    assert got.tolist() == [1 + 2**-10, 1 + 2**-10, -(1 + 2**-10), 1, math.inf, 0]


def test_bytes_are_extended_by_their_sign() -> None:
    a = np.array([0x80, 0x7F, 0x1FF], np.uint32)
    (signed,) = execute("cvt.s32.s8 d, a;", [a], "int32")
    assert signed.tolist() == [-128, 127, -1]
    (unsigned,) = execute("cvt.u32.u8 d, a;", [a], "uint32")
    assert unsigned.tolist() == [128, 127, 255]
