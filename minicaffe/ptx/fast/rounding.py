"""Rounding: denormals as zeros, numbers cut to 0 ... 1, float32 rounded in a direction."""

from collections.abc import Sequence

from ..instruction import Instruction
from .lanes import DOUBLE, FLOAT, INT32, Lanes, Value, vector

SMALLEST_NORMAL = {FLOAT: 2.0**-126, DOUBLE: 2.0**-1022}
_DIRECTED = ("rm", "rp", "rz")


def is_float(kind: str) -> bool:
    """Whether a PTX type is one of floating point."""
    return kind[:1] == "f"


def flushed(lanes: Lanes, x: Value) -> Value:
    """Denormals as zeros of their sign."""
    element = x.type.element
    zero = lanes.intrinsic("copysign", lanes.constant(element, 0.0), x)
    tiny = lanes.constant(element, SMALLEST_NORMAL[element])
    return lanes.b.select(lanes.b.fcmp_ordered("<", lanes.intrinsic("fabs", x), tiny), zero, x)


def saturated(lanes: Lanes, x: Value) -> Value:
    """Numbers cut to 0 ... 1, NaN as 0."""
    zero, one = (lanes.constant(x.type.element, value) for value in (0.0, 1.0))
    return lanes.intrinsic("minimumnum", lanes.intrinsic("maximumnum", x, zero), one)


def way_of(instruction: Instruction) -> str:
    """The direction in which an instruction rounds; "" for to the nearest."""
    return next((word for word in instruction.modifiers if word in _DIRECTED), "")


def sum_and_error(lanes: Lanes, x: Value, y: Value) -> tuple[Value, Value]:
    """x + y in float64, rounded, and what rounding lost (Knuth's two-sum)."""
    b = lanes.b
    total = b.fadd(x, y)
    part = b.fsub(total, x)
    return total, b.fadd(b.fsub(x, b.fsub(total, part)), b.fsub(y, part))


def rounded(lanes: Lanes, total: Value, error: Value, way: str) -> Value:
    """total + error, in float64 of which error is the smaller part, to float32 in a direction."""
    b = lanes.b
    nearest = b.fptrunc(total, vector(FLOAT))
    back = b.fpext(nearest, vector(DOUBLE))
    zero = lanes.constant(DOUBLE, 0.0)
    equal = b.fcmp_ordered("==", back, total)
    above = b.or_(b.fcmp_ordered(">", back, total), b.and_(equal, b.fcmp_ordered("<", error, zero)))
    below = b.or_(b.fcmp_ordered("<", back, total), b.and_(equal, b.fcmp_ordered(">", error, zero)))
    bits = lanes.same_bits(nearest, INT32)
    one = lanes.constant(INT32, 1)
    negative = b.icmp_signed("<", bits, lanes.constant(INT32, 0))
    is_zero = b.fcmp_ordered("==", nearest, lanes.constant(FLOAT, 0.0))
    larger, smaller = b.add(bits, one), b.sub(bits, one)  # in absolute value
    down = b.select(is_zero, lanes.constant(INT32, 0x80000001), b.select(negative, larger, smaller))
    up = b.select(is_zero, one, b.select(negative, smaller, larger))
    positive = b.fcmp_ordered(">", total, zero)
    goes_down = {"rm": above, "rp": None, "rz": b.and_(positive, above)}[way]
    goes_up = {"rm": None, "rp": below, "rz": b.and_(b.not_(positive), below)}[way]
    result = bits
    if goes_down is not None:
        result = b.select(goes_down, down, result)
    if goes_up is not None:
        result = b.select(goes_up, up, result)
    return lanes.same_bits(result, FLOAT)


def widened(lanes: Lanes, x: Sequence[Value]) -> list[Value]:
    """float32 lanes as float64."""
    return [lanes.b.fpext(each, vector(DOUBLE)) for each in x]
