"""ex2, lg2, sin, cos and tanh: the functions that a GPU has approximations of in hardware.

Here they are as exact as float32 allows, but for a rare last bit. They are made of additions,
multiplications and divisions of float64, each rounded, in an order that is written out: so they
are the same bits on every processor, and another engine can compute the same.
"""

import math

import numpy as np

from .lanes import Value

_F32, _F64 = np.dtype(np.float32), np.dtype(np.float64)

LOG2_E, LN_2 = 1 / math.log(2), math.log(2)
# Coefficients by rising power: (2^f - 1) / (f ln 2), atanh(s) / s in s^2, sin(r) / r and cos(r) in
# r^2, tanh(x) / x in x^2.
EXP = tuple(1 / math.factorial(k + 1) for k in range(13))
ATANH = tuple(1 / (2 * k + 1) for k in range(12))
SIN = tuple((-1) ** k / math.factorial(2 * k + 1) for k in range(9))
COS = tuple((-1) ** k / math.factorial(2 * k) for k in range(10))
# pi / 2 in three parts, of which the first two have 33 bits: their multiples are exact.
HALF_PI = (1.57079632673412561417e00, 6.07710050630396597660e-11, 2.02226624879595063154e-21)


def polynomial(x: Value, coefficients: tuple[float, ...]) -> Value:
    """Horner's scheme: from the highest power down, a multiplication and an addition each."""
    result = np.full(x.shape, coefficients[-1])
    for coefficient in coefficients[-2::-1]:
        result = result * x + coefficient
    return result


def _expm1(x: Value) -> tuple[Value, Value]:
    """(n, m) with e^x = 2^n (1 + m), n whole and |m| < 0.42."""
    n = np.rint(x * LOG2_E)
    f = (x - n * LN_2_HIGH) - n * LN_2_LOW
    return n, f * polynomial(f, EXP)


LN_2_HIGH = float(np.float32(LN_2))
LN_2_LOW = LN_2 - LN_2_HIGH


def ex2(x: Value) -> Value:
    """2^x."""
    wide = np.clip(x.astype(_F64), -200.0, 200.0)
    n = np.rint(wide)
    f = (wide - n) * LN_2
    whole = np.where(np.isnan(n), 0.0, n).astype(np.int32)
    return np.ldexp(1.0 + f * polynomial(f, EXP), whole).astype(_F32)


def lg2(x: Value) -> Value:
    """The logarithm to base 2: -inf for 0, NaN below."""
    wide = x.astype(_F64)
    mantissa, exponent = np.frexp(wide)
    small = mantissa < math.sqrt(0.5)
    mantissa = np.where(small, 2 * mantissa, mantissa)
    whole = exponent - small.astype(exponent.dtype)
    s = (mantissa - 1.0) / (mantissa + 1.0)
    result = whole + (2 * LOG2_E) * (s * polynomial(s * s, ATANH))
    result = np.where(wide == 0, -np.inf, np.where(wide < 0, np.nan, result))
    return np.where(np.isinf(wide) & (wide > 0), np.inf, result).astype(_F32)


def _sin_cos(x: Value) -> tuple[Value, Value, Value]:
    """The quarter of a turn to which x is nearest (0 to 3), and sine and cosine of what is left."""
    wide = x.astype(_F64)
    n = np.rint(wide * (2 / math.pi))
    r = ((wide - n * HALF_PI[0]) - n * HALF_PI[1]) - n * HALF_PI[2]
    square = r * r
    quarter = np.where(np.isfinite(n), n, 0.0) % 4
    return quarter.astype(np.int8), r * polynomial(square, SIN), polynomial(square, COS)


def sin(x: Value) -> Value:
    """The sine; far from 0, where a GPU's is of no use, it loses digits."""
    quarter, sine, cosine = _sin_cos(x)
    result: Value = np.where(quarter & 1 == 0, sine, cosine)
    return np.where(quarter >= 2, -result, result).astype(_F32)


def cos(x: Value) -> Value:
    """The cosine, of which the same holds."""
    quarter, sine, cosine = _sin_cos(x)
    result: Value = np.where(quarter & 1 == 0, cosine, sine)
    return np.where((quarter == 1) | (quarter == 2), -result, result).astype(_F32)


def tanh(x: Value) -> Value:
    """The hyperbolic tangent."""
    wide = x.astype(_F64)
    n, m = _expm1(2 * np.clip(np.abs(wide), 0.0, 30.0))
    scale = np.ldexp(1.0, np.where(np.isnan(n), 0.0, n).astype(np.int32))
    t = scale * m + (scale - 1.0)  # e^(2 |x|) - 1
    return np.copysign(t / (t + 2.0), wide).astype(_F32)
