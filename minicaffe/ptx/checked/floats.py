"""Exact floating point that NumPy lacks: one rounding for a * b + c, other roundings, min and max.

IEEE's operations of NumPy round to nearest, on every processor alike; all here is made of those.
"""

from fractions import Fraction

import numpy as np

from .lanes import Value

_F32, _F64 = np.dtype(np.float32), np.dtype(np.float64)
_LOW_BITS = np.uint64((1 << 29) - 1)  # of a float64 that a float32 has no room for
_TIE = np.uint64(1 << 28)
_END = np.uint64((1 << 28) - 1)
_SMALLEST_NORMAL = np.float32(2.0**-126)
_HALF_OF_SMALLEST = 2.0**-150
_SPLIT = np.float64(2**27 + 1)


def flush(x: Value) -> Value:
    """.ftz: subnormal float32 numbers become zeros of their sign."""
    return np.where(np.abs(x) < _SMALLEST_NORMAL, np.copysign(np.float32(0), x), x)


def saturate(x: Value) -> Value:
    """.sat: 0 to 1, and 0 for a NaN."""
    return np.clip(np.where(np.isnan(x), x.dtype.type(0), x), x.dtype.type(0), x.dtype.type(1))


def two_sum(a: Value, b: Value) -> tuple[Value, Value]:
    """The sum as a float64 and its error: together exactly a + b."""
    total = a + b
    part = total - a
    return total, (a - (total - part)) + (b - part)


def two_product(a: Value, b: Value) -> tuple[Value, Value]:
    """The product as a float64 and its error, together a * b; not for very large or small."""
    product = a * b
    scaled = a * _SPLIT
    a1 = scaled - (scaled - a)
    scaled = b * _SPLIT
    b1 = scaled - (scaled - b)
    a2, b2 = a - a1, b - b1
    return product, ((a1 * b1 - product) + a1 * b2 + a2 * b1) + a2 * b2


def fma(a: Value, b: Value, c: Value) -> Value:
    """a * b + c with one rounding, to nearest."""
    return _fma32(a, b, c) if a.dtype == _F32 else _fma64(a, b, c)


def _fma32(a: Value, b: Value, c: Value) -> Value:
    # The product is exact in float64. The sum is rounded there, and then again: twice is once,
    # but where the first rounding has made a tie of what was none. Ties have zeros at their end,
    # as have numbers of few bits; most of those are 0.
    total: Value = a.astype(_F64) * b.astype(_F64) + c.astype(_F64)
    result: Value = total.astype(_F32)
    ends = total.view(np.uint64) & _END
    with_bits = np.count_nonzero(ends)
    if with_bits < ends.size and with_bits < np.count_nonzero(total):
        lanes = np.flatnonzero((ends == 0) & (total != result))
        if lanes.size:
            a, b, c = (np.broadcast_to(each, total.shape)[lanes] for each in (a, b, c))
            result[lanes] = _once_rounded(a.astype(_F64) * b, c.astype(_F64))
    return result


def _once_rounded(a: Value, b: Value) -> Value:
    """a + b of float64 as the nearest float32: a tie that is none becomes a neighbour of itself."""
    total, error = two_sum(a, b)
    near = total.astype(_F32)
    is_tie = (total.view(np.uint64) & _LOW_BITS) == _TIE
    is_tie |= (np.abs(near) < _SMALLEST_NORMAL) & (np.abs(total - near) == _HALF_OF_SMALLEST)
    off_the_tie = np.nextafter(total, np.copysign(np.inf, error))
    exact: Value = np.where(is_tie & (error != 0), off_the_tie, total)
    return exact.astype(_F32)


def _fma64(a: Value, b: Value, c: Value) -> Value:
    """By Boldo and Melquiond, Emulation of FMA with round to odd (2008), away from the extremes."""
    a, b, c = np.broadcast_arrays(a, b, c)
    high, low = two_product(a, b)
    middle, rest = two_sum(c, low)
    top, below = two_sum(high, middle)
    odd, error = two_sum(below, rest)
    even = (odd.view(np.uint64) & np.uint64(1)) == 0
    to_odd = np.nextafter(odd, np.copysign(np.inf, error))
    result = top + np.where((error != 0) & even, to_odd, odd)
    biggest = np.maximum(np.abs(a), np.maximum(np.abs(b), np.abs(c)))
    size = np.abs(high)
    extreme = ~((biggest < 2.0**500) & ((size > 2.0**-900) | (size == 0)) & (size < 2.0**900))
    extreme |= (size == 0) & (a != 0) & (b != 0)
    simple = (a == 0) | (b == 0) | ~np.isfinite(biggest)
    result = np.where(simple, a * b + c, result)
    for lane in np.flatnonzero(extreme & ~simple):
        result[lane] = _fma_of_numbers(float(a[lane]), float(b[lane]), float(c[lane]))
    return result


def _fma_of_numbers(a: float, b: float, c: float) -> float:
    exact = Fraction(a) * Fraction(b) + Fraction(c)
    if exact == 0:
        return a * b + c
    try:
        return float(exact)
    except OverflowError:
        return float("inf") if exact > 0 else float("-inf")


def directed(total: Value, error: Value, way: str, dtype: np.dtype) -> Value:
    """The exact value total + error, two float64, rounded down (rm), up (rp) or to zero (rz)."""
    near = total.astype(dtype)
    back = near.astype(_F64)
    above = (back > total) | ((back == total) & (error < 0))
    below = (back < total) | ((back == total) & (error > 0))
    down = np.where(above, np.nextafter(near, dtype.type(-np.inf)), near)
    up = np.where(below, np.nextafter(near, dtype.type(np.inf)), near)
    if way == "rm":
        return down
    return up if way == "rp" else np.where(total > 0, down, up)


def add_directed(a: Value, b: Value, way: str) -> Value:
    """a + b, rounded as `way` says."""
    return directed(*two_sum(a.astype(_F64), b.astype(_F64)), way, a.dtype)


def mul_directed(a: Value, b: Value, way: str) -> Value:
    """a * b, rounded as `way` says."""
    return directed(*two_product(a.astype(_F64), b.astype(_F64)), way, a.dtype)


def fma_directed(a: Value, b: Value, c: Value, way: str) -> Value:
    """a * b + c of float32 numbers, rounded as `way` says."""
    return directed(*two_sum(a.astype(_F64) * b, c.astype(_F64)), way, a.dtype)


def div_directed(a: Value, b: Value, way: str) -> Value:
    """a / b of float32 numbers, rounded as `way` says."""
    quotient = a.astype(_F64) / b
    product, error = two_product(quotient, b.astype(_F64))
    rest = ((a - product) - error) * np.sign(b)
    return directed(quotient, np.where(np.isfinite(rest), rest, 0.0), way, a.dtype)


def sqrt_directed(a: Value, way: str) -> Value:
    """The root of float32 numbers, rounded as `way` says."""
    root = np.sqrt(a.astype(_F64))
    product, error = two_product(root, root)
    rest = (a - product) - error
    return directed(root, np.where(np.isfinite(rest), rest, 0.0), way, a.dtype)


def minimum(a: Value, b: Value) -> Value:
    """The smaller; the other one of a NaN; -0 is below +0."""
    bits = np.dtype(f"u{a.dtype.itemsize}")
    both = (a.view(bits) | b.view(bits)).view(a.dtype)
    return np.where(a == b, both, np.fmin(a, b))


def maximum(a: Value, b: Value) -> Value:
    """The larger; the other one of a NaN; +0 is above -0."""
    bits = np.dtype(f"u{a.dtype.itemsize}")
    both = (a.view(bits) & b.view(bits)).view(a.dtype)
    return np.where(a == b, both, np.fmax(a, b))
