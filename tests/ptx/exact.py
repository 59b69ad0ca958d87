"""Rounding as IEEE 754 defines it, by whole numbers: an oracle that shares nothing with NumPy."""

from fractions import Fraction

import numpy as np

_FORMAT = {"float32": (24, -149, 127), "float64": (53, -1074, 1023)}


def rounded(exact: Fraction, dtype: str, way: str = "rn") -> float:
    """The number of this type next to an exact value: rn, rz, rm (down), rp (up)."""
    bits, smallest, largest = _FORMAT[dtype]
    if exact == 0:
        return 0.0
    size = abs(exact)
    exponent = max(floor_log2(size) - bits + 1, smallest)
    scaled = size / Fraction(2) ** exponent
    whole = scaled.numerator // scaled.denominator
    rest = scaled - whole
    up = {
        "rn": rest > Fraction(1, 2) or (rest == Fraction(1, 2) and whole % 2 == 1),
        "rz": False,
        "rm": rest > 0 and exact < 0,
        "rp": rest > 0 and exact > 0,
    }[way]
    value = (whole + up) * Fraction(2) ** exponent
    most = (2 - Fraction(2) ** (1 - bits)) * Fraction(2) ** largest
    if value > most:
        toward_zero = way == "rz" or (way == "rm" and exact > 0) or (way == "rp" and exact < 0)
        value = most if toward_zero else Fraction(0)
        if not toward_zero:
            return float("inf") if exact > 0 else float("-inf")
    return float(value if exact > 0 else -value)


def floor_log2(size: Fraction) -> int:
    """The exponent of the highest bit of a positive number."""
    guess = size.numerator.bit_length() - size.denominator.bit_length()
    return guess if Fraction(2) ** guess <= size else guess - 1


def hard_numbers(dtype: str, count: int = 512) -> np.ndarray:
    """Finite numbers of all sizes, many of few bits; subnormal ones and the largest too."""
    random = np.random.default_rng(7)
    bits, smallest, largest = _FORMAT[dtype]
    few = random.integers(1, 8, count) * 2.0 ** random.integers(smallest // 2, 20, count)
    near = random.standard_normal(count)
    wide = near * 2.0 ** random.integers(smallest + bits, largest - 2, count)
    tiny = random.integers(1, 1 << 10, count) * 2.0**smallest
    half = np.ldexp(random.integers(1 << (bits - 1), 1 << bits, count), 1 - bits)
    limits = np.finfo(dtype)
    ends = [0.0, -0.0, 1.0, -1.0, float(limits.max), float(limits.tiny)]
    numbers = np.concatenate([few, -few, near, near, wide, tiny, -tiny, half, -half, ends])
    with np.errstate(all="ignore"):
        return np.asarray(random.permutation(numbers)[:count], dtype)
