"""Integers and bits: products, shifts, fields, tables, division."""

from collections.abc import Callable, Mapping, Sequence

from llvmlite import ir

from ..instruction import TYPES, Immediate, Instruction
from .lanes import BIT, INT32, INT64, Lanes, Value, scalar, suffix, vector


def integer_product(lanes: Lanes, instruction: Instruction, x: Sequence[Value]) -> Value:
    """lo, hi or wide: the lower half, the upper half, all of it."""
    kind = instruction.type
    bits = 8 * TYPES[kind].itemsize
    if not (instruction.has("hi") or instruction.has("wide")):
        return lanes.b.mul(x[0], x[1])
    double = ir.IntType(2 * bits)
    product = lanes.b.mul(*(lanes.resized(each, double, kind[0] == "s") for each in x[:2]))
    if instruction.has("wide"):
        return product
    upper = lanes.b.lshr(product, lanes.constant(double, bits))
    return lanes.b.trunc(upper, vector(ir.IntType(bits)))


def _logic(lanes: Lanes, instruction: Instruction, x: Sequence[Value]) -> Value:
    b = lanes.b
    if instruction.opcode == "not":
        return b.not_(x[0])
    return {"and": b.and_, "or": b.or_, "xor": b.xor}[instruction.opcode](x[0], x[1])


def _is_zero(lanes: Lanes, instruction: Instruction, x: Sequence[Value]) -> Value:
    """cnot: 1 for 0, else 0."""
    none = lanes.b.icmp_unsigned("==", x[0], lanes.constant(x[0].type.element, 0))
    return lanes.b.zext(none, x[0].type)


def _shift(lanes: Lanes, instruction: Instruction, x: Sequence[Value]) -> Value:
    """A shift by as many bits as there are, or more, gives zeros, or the sign."""
    b, value = lanes.b, x[0]
    element = value.type.element
    bits = element.width
    far = b.icmp_unsigned(">=", x[1], lanes.constant(INT32, bits))
    by = lanes.resized(x[1], element, False)
    if instruction.opcode == "shr" and instruction.type[0] == "s":
        return b.ashr(value, b.select(far, lanes.constant(element, bits - 1), by))
    zero = lanes.constant(element, 0)
    shift = b.shl if instruction.opcode == "shl" else b.lshr
    return b.select(far, zero, shift(value, b.select(far, zero, by)))


def _funnel_shift(lanes: Lanes, instruction: Instruction, x: Sequence[Value]) -> Value:
    """32 bits out of 64: shf.l takes the upper ones after a shift left, shf.r the lower ones."""
    b = lanes.b
    whole = b.or_(
        b.shl(lanes.resized(x[1], INT64, False), lanes.constant(INT64, 32)),
        lanes.resized(x[0], INT64, False),
    )
    most = lanes.constant(INT32, 32)
    by = (
        b.and_(x[2], lanes.constant(INT32, 31))
        if instruction.has("wrap")
        else lanes.intrinsic("umin", x[2], most)
    )
    by = lanes.resized(by, INT64, False)
    if instruction.has("r"):
        return lanes.resized(b.lshr(whole, by), INT32, False)
    upper = b.lshr(b.shl(whole, by), lanes.constant(INT64, 32))
    return lanes.resized(upper, INT32, False)


def _count(lanes: Lanes, instruction: Instruction, x: Sequence[Value]) -> Value:
    """popc, clz and bfind, whose result is a word whatever they count in."""
    b, value = lanes.b, x[0]
    element = value.type.element
    if instruction.opcode == "popc":
        return lanes.resized(lanes.intrinsic("ctpop", value), INT32, False)
    zero = lanes.constant(element, 0)
    if instruction.opcode == "bfind" and instruction.type[0] == "s":
        value = b.select(b.icmp_signed("<", value, zero), b.not_(value), value)
    name = f"llvm.ctlz.{suffix(element)}"
    leading = lanes.resized(lanes.call(name, value.type, value, BIT(0)), INT32, False)
    if instruction.opcode == "clz":
        return leading
    place = leading
    if not instruction.has("shiftamt"):
        place = b.sub(lanes.constant(INT32, element.width - 1), leading)
    none = b.icmp_unsigned("==", value, zero)
    return b.select(none, lanes.constant(INT32, 0xFFFFFFFF), place)


def _reverse(lanes: Lanes, instruction: Instruction, x: Sequence[Value]) -> Value:
    return lanes.intrinsic("bitreverse", x[0])


def _insert_field(lanes: Lanes, instruction: Instruction, x: Sequence[Value]) -> Value:
    """bfi a, b, position, length: the lower bits of a in the place of some bits of b."""
    b = lanes.b
    field, into = x[0], x[1]
    position, length = (_low_byte(lanes, each, field.type.element) for each in x[2:4])
    mask = _shifted_left(lanes, _ones(lanes, length), position)
    return b.or_(b.and_(into, b.not_(mask)), b.and_(_shifted_left(lanes, field, position), mask))


def _extract_field(lanes: Lanes, instruction: Instruction, x: Sequence[Value]) -> Value:
    """bfe a, position, length: some bits of a, extended by the field's uppermost bit if signed."""
    b, value = lanes.b, x[0]
    element = value.type.element
    bits = lanes.constant(element, element.width)
    position, length = (_low_byte(lanes, each, element) for each in x[1:3])
    field = b.and_(_shifted_right(lanes, value, position), _ones(lanes, length))
    if instruction.type[0] != "s":
        return field
    one, zero = lanes.constant(element, 1), lanes.constant(element, 0)
    last = lanes.intrinsic(
        "umin", b.sub(b.add(position, length), one), b.sub(bits, one)
    )  # where the sign stands
    sign = b.and_(b.lshr(value, last), one)
    filled = b.or_(field, b.not_(_ones(lanes, length)))
    reaches = b.icmp_unsigned(">", b.add(position, length), bits)
    held = lanes.intrinsic("umin", position, bits)
    inside = b.select(reaches, _ones(lanes, b.sub(bits, held)), _ones(lanes, length))
    filled = b.or_(b.and_(field, inside), b.not_(inside))
    negative = b.and_(b.icmp_unsigned("!=", sign, zero), b.icmp_unsigned("!=", length, zero))
    return b.select(negative, filled, field)


def _low_byte(lanes: Lanes, x: Value, element: object) -> Value:
    return lanes.resized(lanes.b.and_(x, lanes.constant(INT32, 255)), element, False)


def _ones(lanes: Lanes, length: Value) -> Value:
    """As many ones from the lowest bit on."""
    one = lanes.constant(length.type.element, 1)
    return lanes.b.sub(_shifted_left(lanes, one, length), one)


def _shifted_left(lanes: Lanes, x: Value, by: Value) -> Value:
    return _bounded_shift(lanes, lanes.b.shl, x, by)


def _shifted_right(lanes: Lanes, x: Value, by: Value) -> Value:
    return _bounded_shift(lanes, lanes.b.lshr, x, by)


def _bounded_shift(
    lanes: Lanes, shift: Callable[[Value, Value], Value], x: Value, by: Value
) -> Value:
    element = x.type.element
    zero = lanes.constant(element, 0)
    far = lanes.b.icmp_unsigned(">=", by, lanes.constant(element, element.width))
    return lanes.b.select(far, zero, shift(x, lanes.b.select(far, zero, by)))


def _table_logic(lanes: Lanes, instruction: Instruction, x: Sequence[Value]) -> Value | None:
    """lop3 a, b, c, table: bit 4 a + 2 b + c of the table, for each bit of the three words."""
    b = lanes.b
    table = instruction.operands[4]
    if not isinstance(table, Immediate):
        return None
    result = lanes.constant(INT32, 0)
    for row in range(8):
        if table.bits >> row & 1:
            words = [
                each if row >> place & 1 else b.not_(each)
                for each, place in zip(x[:3], (2, 1, 0), strict=True)
            ]
            result = b.or_(result, b.and_(b.and_(words[0], words[1]), words[2]))
    return result


def _permute(lanes: Lanes, instruction: Instruction, x: Sequence[Value]) -> Value | None:
    """prmt a, b, selector: four bytes out of the eight of b:a, each by a digit of the selector."""
    if any(word in instruction.modifiers for word in ("f4e", "b4e", "rc8", "ecl", "ecr", "rc16")):
        return None
    b = lanes.b

    def word(value: int) -> Value:
        return lanes.constant(INT64, value)

    whole = b.or_(
        b.shl(lanes.resized(x[1], INT64, False), word(32)), lanes.resized(x[0], INT64, False)
    )
    selector = lanes.resized(x[2], INT64, False)
    result = word(0)
    for place in range(4):
        digit = b.and_(b.lshr(selector, word(4 * place)), word(15))
        at = b.shl(b.and_(digit, word(7)), word(3))
        byte = b.and_(b.lshr(whole, at), word(255))
        sign = b.mul(b.lshr(byte, word(7)), word(255))  # all ones if its uppermost bit is set
        signs = b.icmp_unsigned("!=", b.and_(digit, word(8)), word(0))
        result = b.or_(result, b.shl(b.select(signs, sign, byte), word(8 * place)))
    return lanes.resized(result, INT32, False)


def divide(lanes: Lanes, instruction: Instruction, x: Sequence[Value], active: Value) -> Value:
    """div or rem of integers, one lane after the other; see `_quotient`."""
    kind = instruction.type
    name = f"{instruction.opcode}.{kind}"
    body = lambda lanes, one: _quotient(lanes, instruction, one)  # noqa: E731
    return lanes.lane_by_lane(name, vector(scalar(kind)), [*x, active], body)


def _quotient(lanes: Lanes, instruction: Instruction, one: Sequence[Value]) -> Value:
    """x / 0 is all ones and x % 0 is x; the smallest number / -1 is itself, the rest 0."""
    b = lanes.b
    x, y = one
    number = x.type
    quotient = instruction.opcode == "div"
    none = b.icmp_unsigned("==", y, number(0))
    safe = b.select(none, number(1), y)
    if instruction.type[0] == "s":
        ones = (1 << number.width) - 1
        minus = b.icmp_unsigned("==", y, number(ones))
        safe = b.select(minus, number(1), safe)
        result = b.sdiv(x, safe) if quotient else b.srem(x, safe)
        result = b.select(minus, b.neg(x) if quotient else number(0), result)
    else:
        result = b.udiv(x, safe) if quotient else b.urem(x, safe)
    return b.select(none, number((1 << number.width) - 1) if quotient else x, result)


RULES: Mapping[str, Callable[[Lanes, Instruction, Sequence[Value]], Value | None]] = {
    "and": _logic, "or": _logic, "xor": _logic, "not": _logic, "cnot": _is_zero,
    "shl": _shift, "shr": _shift, "shf": _funnel_shift,
    "popc": _count, "clz": _count, "bfind": _count, "brev": _reverse,
    "bfi": _insert_field, "bfe": _extract_field, "lop3": _table_logic, "prmt": _permute,
}  # fmt: skip
