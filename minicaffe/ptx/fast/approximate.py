"""ex2, lg2, sin, cos and tanh of float32, step by step as the checked engine computes them.

The steps, all in float64, are explained in checked/approximate.py, whose coefficients these are.
"""

import math
from collections.abc import Callable, Mapping, Sequence

from ..checked import approximate as rule
from .lanes import DOUBLE, FLOAT, INT32, INT64, Lanes, Value, vector

_EXPONENT_BITS = 52  # where the exponent of a float64 begins
_BIAS = 1023


class _Steps:
    """float64 arithmetic on lanes."""

    def __init__(self, lanes: Lanes) -> None:
        self.lanes, self.b = lanes, lanes.b

    def number(self, value: float) -> Value:
        return self.lanes.constant(DOUBLE, value)

    def word(self, value: int) -> Value:
        return self.lanes.constant(INT32, value)

    def times(self, x: Value, y: Value | float) -> Value:
        return self.b.fmul(x, self.number(y) if isinstance(y, float) else y)

    def plus(self, x: Value, y: Value | float) -> Value:
        return self.b.fadd(x, self.number(y) if isinstance(y, float) else y)

    def minus(self, x: Value, y: Value | float) -> Value:
        return self.b.fsub(x, self.number(y) if isinstance(y, float) else y)

    def whole(self, x: Value) -> Value:
        """The nearest whole number, as a float64."""
        return self.lanes.intrinsic("rint", x)

    def clipped(self, x: Value, low: float, high: float) -> Value:
        """NaN stays."""
        below = self.b.fcmp_ordered("<", x, self.number(low))
        above = self.b.fcmp_ordered(">", x, self.number(high))
        cut = self.b.select(above, self.number(high), x)
        return self.b.select(below, self.number(low), cut)

    def polynomial(self, x: Value, coefficients: Sequence[float]) -> Value:
        result = self.number(coefficients[-1])
        for coefficient in coefficients[-2::-1]:
            result = self.plus(self.times(result, x), coefficient)
        return result

    def power_of_two(self, n: Value) -> Value:
        """2^n for a whole number that float64 has a normal power for; 1 for NaN."""
        name = "llvm.fptosi.sat.v32i64.v32f64"
        exponent = self.lanes.call(name, vector(INT64), n)
        biased = self.b.add(exponent, self.lanes.constant(INT64, _BIAS))
        return self.lanes.same_bits(
            self.b.shl(biased, self.lanes.constant(INT64, _EXPONENT_BITS)), DOUBLE
        )


def _ex2(s: _Steps, x: Value) -> Value:
    wide = s.clipped(x, -200.0, 200.0)
    n = s.whole(wide)
    f = s.times(s.minus(wide, n), rule.LN_2)
    near = s.plus(s.times(f, s.polynomial(f, rule.EXP)), 1.0)
    return s.times(near, s.power_of_two(n))


def _lg2(s: _Steps, x: Value) -> Value:
    b, lanes = s.b, s.lanes
    bits = lanes.same_bits(x, INT64)
    upper = b.lshr(bits, lanes.constant(INT64, _EXPONENT_BITS))
    field = b.and_(upper, lanes.constant(INT64, 0x7FF))
    exponent = b.sub(field, lanes.constant(INT64, _BIAS - 1))
    fraction = b.and_(bits, lanes.constant(INT64, (1 << _EXPONENT_BITS) - 1))
    half = lanes.constant(INT64, (_BIAS - 1) << _EXPONENT_BITS)
    mantissa = lanes.same_bits(b.or_(fraction, half), DOUBLE)  # 0.5 to 1
    small = b.fcmp_ordered("<", mantissa, s.number(math.sqrt(0.5)))
    mantissa = b.select(small, s.times(mantissa, 2.0), mantissa)
    whole = b.sitofp(b.sub(exponent, b.zext(small, vector(INT64))), vector(DOUBLE))
    ratio = b.fdiv(s.minus(mantissa, 1.0), s.plus(mantissa, 1.0))
    series = s.times(ratio, s.polynomial(s.times(ratio, ratio), rule.ATANH))
    result = s.plus(whole, s.times(series, 2 * rule.LOG2_E))
    infinity = s.number(math.inf)
    zero = s.number(0.0)
    result = b.select(b.fcmp_ordered("==", x, zero), s.number(-math.inf), result)
    result = b.select(b.fcmp_ordered("<", x, zero), s.number(math.nan), result)
    result = b.select(b.fcmp_ordered("==", x, infinity), infinity, result)
    return b.select(b.fcmp_unordered("uno", x, x), x, result)


def _quarter(s: _Steps, x: Value) -> tuple[Value, Value, Value]:
    """The quarter of a turn, as a word; sine and cosine of the rest."""
    b, lanes = s.b, s.lanes
    n = s.whole(s.times(x, 2 / math.pi))
    r = x
    for part in rule.HALF_PI:
        r = s.minus(r, s.times(n, part))
    square = s.times(r, r)
    turns = lanes.intrinsic("floor", s.times(n, 0.25))
    number = lanes.call(
        "llvm.fptosi.sat.v32i32.v32f64", vector(INT32), s.minus(n, s.times(turns, 4.0))
    )
    quarter = b.and_(number, lanes.constant(INT32, 3))
    return quarter, s.times(r, s.polynomial(square, rule.SIN)), s.polynomial(square, rule.COS)


def _sin(s: _Steps, x: Value) -> Value:
    b, word = s.b, s.word
    quarter, sine, cosine = _quarter(s, x)
    even = b.icmp_unsigned("==", b.and_(quarter, word(1)), word(0))
    result = b.select(even, sine, cosine)
    return b.select(b.icmp_unsigned(">=", quarter, word(2)), b.fneg(result), result)


def _cos(s: _Steps, x: Value) -> Value:
    b, word = s.b, s.word
    quarter, sine, cosine = _quarter(s, x)
    even = b.icmp_unsigned("==", b.and_(quarter, word(1)), word(0))
    result = b.select(even, cosine, sine)
    middle = b.icmp_unsigned("<", b.sub(quarter, word(1)), word(2))  # the second and the third
    return b.select(middle, b.fneg(result), result)


def _tanh(s: _Steps, x: Value) -> Value:
    size = s.clipped(s.lanes.intrinsic("fabs", x), 0.0, 30.0)
    twice = s.times(size, 2.0)
    n = s.whole(s.times(twice, rule.LOG2_E))
    f = s.minus(s.minus(twice, s.times(n, rule.LN_2_HIGH)), s.times(n, rule.LN_2_LOW))
    m = s.times(f, s.polynomial(f, rule.EXP))
    scale = s.power_of_two(n)
    t = s.plus(s.times(scale, m), s.minus(scale, 1.0))
    return s.lanes.intrinsic("copysign", s.b.fdiv(t, s.plus(t, 2.0)), x)


FUNCTIONS: Mapping[str, Callable[[_Steps, Value], Value]] = {
    "ex2": _ex2, "lg2": _lg2, "sin": _sin, "cos": _cos, "tanh": _tanh,
}  # fmt: skip


def approximate(lanes: Lanes, opcode: str, x: Value) -> Value:
    """One of FUNCTIONS for float32 lanes."""
    wide = lanes.b.fpext(x, vector(DOUBLE))
    return lanes.b.fptrunc(FUNCTIONS[opcode](_Steps(lanes), wide), vector(FLOAT))
