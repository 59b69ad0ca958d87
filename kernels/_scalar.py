"""Formulas of one element, written once; every compiled device makes its own functions of them.

`formulas(compiled, strict)` takes a device's decorators for functions that kernels call inside
their loops: `strict` keeps the order of float32 operations as written. A formula `name(x, ...)`
has its derivative beside it, `name_slope(x, y, ...)`, where y is the value at x.
Constants are float32, so that nothing is computed in float64 by accident.
"""

from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import numpy as np

F = np.float32
Real = Any  # a float32, typed by the device's compiler
Made = dict[str, Any]  # functions by name
Decorator = Callable[[Callable[..., Real]], Any]

ZERO, HALF, ONE, TWO, MINUS_ONE = F(0), F(0.5), F(1), F(2), F(-1)
BNLL_LIMIT = F(50)  # exp(50) / (exp(50) + 1) is 1
LOG2_E = F(1.44269504)
LN2_HIGH, LN2_LOW = F(0.693359375), F(-2.12194440e-4)  # their sum is ln 2; n * LN2_HIGH is exact
EXP_LOWEST, EXP_HIGHEST = F(-104), F(89)  # beyond: 0, infinity
EXP_TINY = F(-87.5)  # 2^-126, about
ROUND = F(3 << 22)  # from 2^23 to 2^24 the last bit of a float32 counts ones
ROUND_BITS = ROUND.view(np.int32)
TANH_FLAT = F(20)  # from here on (e^x - 1) / (e^x + 1) is 1
ELU_FLAT = F(-30)  # below, e^x - 1 is -1
SMALLEST, LIFT, LIFT_POWER = F(np.finfo(F).tiny), F(1 << 24), F(24)
SQRT_HALF = F(0.707106781)
INFINITY, NAN = F(np.inf), F(np.nan)


def formulas(compiled: Decorator, strict: Decorator) -> Any:
    """All functions of this file, made by a device's decorators, as attributes."""
    made = _exponentials(strict) | _logarithm(strict)
    made |= _sigmoids(compiled, **made) | _polynomials(compiled) | _powers(compiled, **made)
    return SimpleNamespace(**made)


def _exponentials(strict: Decorator) -> Made:
    """e^x, and the pieces that it is made of."""

    @strict
    def split(x: Real) -> Any:
        # (n, q) with e^x = 2^n (1 + q): x = n ln 2 + r with |r| <= ln 2 / 2, and q = e^r - 1 is a
        # polynomial (that of Cephes' expf, by Moshier). Adding ROUND leaves n in the last bits.
        rounded = x * LOG2_E + ROUND
        whole = rounded - ROUND
        n = np.int32(F(rounded).view(np.int32) - ROUND_BITS)
        r = x - whole * LN2_HIGH - whole * LN2_LOW
        p = F(1.9875691500e-4)
        p = p * r + F(1.3981999507e-3)
        p = p * r + F(8.3334519073e-3)
        p = p * r + F(4.1665795894e-2)
        p = p * r + F(1.6666665459e-1)
        p = p * r + F(5.0000001201e-1)
        return n, p * (r * r) + r

    @strict
    def power_of_two(n: Real) -> Real:
        # for n in -126 .. 127, where it is the exponent of a float32; 0 for -127
        return np.int32((n + np.int32(127)) << np.int32(23)).view(np.float32)

    @strict
    def exp(x: Real) -> Real:
        # Relative error 1e-7, without a branch, so that loops become vector code. The power comes
        # in two factors, since n is from -150 to 128.
        x = EXP_HIGHEST if x > EXP_HIGHEST else x
        x = EXP_LOWEST if x < EXP_LOWEST else x
        n, q = split(x)
        low = np.int32(n >> np.int32(1))
        return (ONE + q) * power_of_two(low) * power_of_two(np.int32(n - low))

    @strict
    def exp_or_zero(x: Real) -> Real:
        # The same in fewer steps, for what is added to something: 0 below 1.7e-38.
        x = EXP_HIGHEST if x > EXP_HIGHEST else x
        x = EXP_TINY if x < EXP_TINY else x
        n, q = split(x)
        return (TWO + (q + q)) * power_of_two(np.int32(n - np.int32(1)))

    return {"split": split, "power_of_two": power_of_two, "exp": exp, "exp_or_zero": exp_or_zero}


def _logarithm(strict: Decorator) -> Made:
    """The natural logarithm."""

    @strict
    def log(x: Real) -> Real:
        # Cephes' logf (Moshier): x = m 2^n with m in [sqrt(1/2), sqrt(2)), a polynomial in m - 1.
        # Relative error 1e-7; numbers below the smallest normal one are lifted into its range.
        tiny = x < SMALLEST
        bits = np.float32(x * LIFT if tiny else x).view(np.int32)
        n = np.int32(((bits >> np.int32(23)) & np.int32(255)) - np.int32(126))
        m = np.int32((bits & np.int32(0x7FFFFF)) | np.int32(0x3F000000)).view(np.float32)
        low = m < SQRT_HALF
        z = m + m - ONE if low else m - ONE
        whole = F(n) - (ONE if low else ZERO) - (LIFT_POWER if tiny else ZERO)
        p = F(7.0376836292e-2)
        p = p * z - F(1.1514610310e-1)
        p = p * z + F(1.1676998740e-1)
        p = p * z - F(1.2420140846e-1)
        p = p * z + F(1.4249322787e-1)
        p = p * z - F(1.6668057665e-1)
        p = p * z + F(2.0000714765e-1)
        p = p * z - F(2.4999993993e-1)
        p = p * z + F(3.3333331174e-1)
        y = p * z * z * z + whole * LN2_LOW - HALF * z * z + z + whole * LN2_HIGH
        y = y if x < INFINITY else x  # infinity stays, and NaN
        y = y if x > ZERO or x != x else NAN
        return -INFINITY if x == ZERO else y

    return {"log": log}


def _sigmoids(
    compiled: Decorator, split: Real, power_of_two: Real, exp: Real, exp_or_zero: Real, log: Real
) -> Made:
    """Functions that level off on one side or on both."""

    @compiled
    def tanh(x: Real) -> Real:
        # (e^2x - 1) / (e^2x + 1); e^2x - 1 is 2^n q + (2^n - 1), which keeps its digits near 0
        x = x + x
        x = TANH_FLAT if x > TANH_FLAT else x
        x = -TANH_FLAT if x < -TANH_FLAT else x
        n, q = split(x)
        scale = power_of_two(n)
        grown = scale * q + (scale - ONE)
        return grown / (grown + TWO)

    @compiled
    def tanh_slope(x: Real, y: Real) -> Real:
        return ONE - y * y

    @compiled
    def sigmoid(x: Real) -> Real:
        return ONE / (ONE + exp_or_zero(-x))

    @compiled
    def sigmoid_slope(x: Real, y: Real) -> Real:
        return y * (ONE - y)

    @compiled
    def swish(x: Real, beta: Real) -> Real:
        return x * sigmoid(beta * x)

    @compiled
    def swish_slope(x: Real, y: Real, beta: Real) -> Real:
        return beta * y + sigmoid(beta * x) * (ONE - beta * y)

    @compiled
    def bnll(x: Real) -> Real:
        return max(x, ZERO) + log(ONE + exp_or_zero(-abs(x)))

    @compiled
    def bnll_slope(x: Real, y: Real) -> Real:
        grown = exp(min(x, BNLL_LIMIT))
        return grown / (grown + ONE)

    @compiled
    def elu(x: Real, alpha: Real) -> Real:
        n, q = split(ELU_FLAT if x < ELU_FLAT else x)
        scale = power_of_two(n)
        return x if x > ZERO else alpha * (scale * q + (scale - ONE))

    @compiled
    def elu_slope(x: Real, y: Real, alpha: Real) -> Real:
        return ONE if x > ZERO else alpha + y

    return locals()


def _polynomials(compiled: Decorator) -> Made:
    """Pieces of lines and parabolas."""

    @compiled
    def clip(x: Real, low: Real, high: Real) -> Real:
        return max(low, min(x, high))

    @compiled
    def clip_slope(x: Real, y: Real, low: Real, high: Real) -> Real:
        return ONE if low <= x <= high else ZERO

    @compiled
    def abs_val(x: Real) -> Real:
        return abs(x)

    @compiled
    def abs_val_slope(x: Real, y: Real) -> Real:
        return ONE if x > ZERO else (MINUS_ONE if x < ZERO else ZERO)

    @compiled
    def affine(x: Real, scale: Real, shift: Real) -> Real:
        return scale * x + shift

    @compiled
    def affine_slope(x: Real, y: Real, scale: Real, shift: Real) -> Real:
        return scale

    @compiled
    def square(x: Real, scale: Real, shift: Real) -> Real:
        base = scale * x + shift
        return base * base

    @compiled
    def square_slope(x: Real, y: Real, scale: Real, shift: Real) -> Real:
        return TWO * scale * (scale * x + shift)

    return locals()


def _powers(compiled: Decorator, exp: Real, log: Real, **others: Real) -> Made:
    """Powers, exponentials and logarithms with their parameters."""

    @compiled
    def power(x: Real, scale: Real, shift: Real, exponent: Real) -> Real:
        return (scale * x + shift) ** exponent

    @compiled
    def power_slope(x: Real, y: Real, scale: Real, shift: Real, exponent: Real) -> Real:
        return exponent * scale * (scale * x + shift) ** (exponent - ONE)

    @compiled
    def exponential(x: Real, inner: Real, outer: Real) -> Real:
        return outer * exp(inner * x)

    @compiled
    def exponential_slope(x: Real, y: Real, inner: Real, outer: Real) -> Real:
        return inner * y

    @compiled
    def logarithm(x: Real, scale: Real, shift: Real, factor: Real) -> Real:
        return factor * log(scale * x + shift)

    @compiled
    def logarithm_slope(x: Real, y: Real, scale: Real, shift: Real, factor: Real) -> Real:
        return factor * scale / (scale * x + shift)

    return locals()
