"""cvt: a number of one type as another."""

from llvmlite import ir

from ..instruction import TYPES, Instruction
from .lanes import DOUBLE, FLOAT, INT32, Lanes, Value, scalar, suffix, vector
from .rounding import flushed, is_float, rounded, saturated, way_of

_TO_INTEGER = {"rni": "rint", "rzi": "trunc", "rmi": "floor", "rpi": "ceil"}


def convert(lanes: Lanes, instruction: Instruction, x: Value) -> Value | None:
    """The result of cvt.to.from; None if it is not known."""
    kinds = [word for word in instruction.modifiers if word in TYPES]
    if instruction.has("tf32"):
        return _to_tf32(lanes, x) if instruction.has("rna") else None
    to, source = kinds[:2]
    if instruction.has("ftz") and source == "f32":
        x = flushed(lanes, x)
    if is_float(source):
        whole = next((word for word in instruction.modifiers if word in _TO_INTEGER), "")
        if not is_float(to):
            return _to_integer(lanes, x, to, whole or "rzi")
        if whole:
            x = lanes.intrinsic(_TO_INTEGER[whole], x)
        result = _to_float(lanes, instruction, x, to)
        if result is None:
            return None
        if instruction.has("sat"):
            result = saturated(lanes, result)
        return flushed(lanes, result) if instruction.has("ftz") and to == "f32" else result
    if is_float(to):
        if way_of(instruction):
            return None
        change = lanes.b.sitofp if source[0] == "s" else lanes.b.uitofp
        return change(x, vector(scalar(to)))
    if instruction.has("sat"):
        x = _clamped(lanes, x, source, to)
    return lanes.resized(x, scalar(to), source[0] == "s")


def _to_float(lanes: Lanes, instruction: Instruction, x: Value, to: str) -> Value | None:
    have, want = x.type.element, scalar(to)
    size = {ir.HalfType(): 16, FLOAT: 32, DOUBLE: 64}
    if size[want] > size[have]:
        return lanes.b.fpext(x, vector(want))
    if size[want] == size[have]:
        return x
    if not (way := way_of(instruction)):
        return lanes.b.fptrunc(x, vector(want))
    return rounded(lanes, x, lanes.constant(DOUBLE, 0.0), way) if want == FLOAT else None


def _to_integer(lanes: Lanes, x: Value, to: str, whole: str) -> Value:
    """Numbers beyond the range become its ends, NaN becomes 0."""
    x = lanes.intrinsic(_TO_INTEGER[whole], x)
    element = scalar(to)
    way = "fptosi" if to[0] == "s" else "fptoui"
    name = f"llvm.{way}.sat.{suffix(element)}.{suffix(x.type.element)}"
    return lanes.call(name, vector(element), x)


def _clamped(lanes: Lanes, x: Value, source: str, to: str) -> Value:
    """An integer cut to the range of another type."""
    bits, wanted = 8 * TYPES[source].itemsize, 8 * TYPES[to].itemsize
    signed = to[0] == "s"
    lowest, highest = (
        (-(1 << wanted - 1), (1 << wanted - 1) - 1) if signed else (0, (1 << wanted) - 1)
    )
    if source[0] == "s":
        lowest, highest = max(lowest, -(1 << bits - 1)), min(highest, (1 << bits - 1) - 1)
        x = lanes.intrinsic("smax", x, lanes.constant(x.type.element, lowest))
        return lanes.intrinsic("smin", x, lanes.constant(x.type.element, highest))
    return lanes.intrinsic("umin", x, lanes.constant(x.type.element, min(highest, (1 << bits) - 1)))


def _to_tf32(lanes: Lanes, x: Value) -> Value:
    """cvt.rna: 10 bits of mantissa, halves away from zero; infinity and NaN stay."""
    b = lanes.b
    bits = lanes.same_bits(x, INT32)
    exponent = lanes.constant(INT32, 0x7F800000)
    special = b.icmp_unsigned("==", b.and_(bits, exponent), exponent)
    near = b.and_(b.add(bits, lanes.constant(INT32, 0x1000)), lanes.constant(INT32, 0xFFFFE000))
    return b.select(special, bits, near)
