"""PTX's arithmetic on vectors of lanes: `compute` gives the result of an instruction.

What must be exact is (add, mul, fma, div.rn, sqrt.rn, integers, conversions); what a GPU only
approximates, such as ex2, is what the checked engine makes of it (approximate.py).
"""

from collections.abc import Callable, Mapping, Sequence

from ..instruction import Instruction
from . import bits
from .approximate import approximate
from .lanes import DOUBLE, FLOAT, INT64, Lanes, Value, vector
from .rounding import (
    SMALLEST_NORMAL,
    flushed,
    is_float,
    rounded,
    saturated,
    sum_and_error,
    way_of,
    widened,
)

_ORDER = {"eq": "==", "ne": "!=", "lt": "<", "le": "<=", "gt": ">", "ge": ">="}
_ORDER |= {"lo": "<", "ls": "<=", "hi": ">", "hs": ">="}
_LOGIC = ("and", "or", "xor")


def compute(lanes: Lanes, instruction: Instruction, x: Sequence[Value]) -> Value | None:
    """The result of an arithmetic instruction for its operands; None if it is not known here."""
    rule = _RULES.get(instruction.opcode)
    if rule is None:
        return None
    kind = instruction.type
    flushes = instruction.has("ftz") and kind == "f32"
    if flushes:
        x = [flushed(lanes, each) for each in x]
    result = rule(lanes, instruction, x)
    if result is None:
        return None
    if flushes and result.type.element == FLOAT:
        result = flushed(lanes, result)
    return saturated(lanes, result) if instruction.has("sat") and kind[0] == "f" else result


def _add(lanes: Lanes, instruction: Instruction, x: Sequence[Value]) -> Value | None:
    if not is_float(instruction.type):
        return lanes.b.add(x[0], x[1]) if not _carries(instruction) else None
    if not (way := way_of(instruction)):
        return lanes.b.fadd(x[0], x[1])
    if instruction.type != "f32":
        return None
    return rounded(lanes, *sum_and_error(lanes, *widened(lanes, x)), way)


def _sub(lanes: Lanes, instruction: Instruction, x: Sequence[Value]) -> Value | None:
    if not is_float(instruction.type):
        return lanes.b.sub(x[0], x[1]) if not _carries(instruction) else None
    return _add(lanes, instruction, [x[0], lanes.b.fneg(x[1])])


def _carries(instruction: Instruction) -> bool:
    return instruction.has("cc") or instruction.opcode in ("addc", "subc", "madc")


def _mul(lanes: Lanes, instruction: Instruction, x: Sequence[Value]) -> Value | None:
    kind = instruction.type
    if not is_float(kind):
        return bits.integer_product(lanes, instruction, x)
    if not (way := way_of(instruction)):
        return lanes.b.fmul(x[0], x[1])
    if kind != "f32":
        return None
    exact = lanes.b.fmul(*widened(lanes, x))  # 24 + 24 bits fit into 53
    return rounded(lanes, exact, lanes.constant(DOUBLE, 0.0), way)


def _mad(lanes: Lanes, instruction: Instruction, x: Sequence[Value]) -> Value | None:
    if is_float(instruction.type):
        return _fma(lanes, instruction, x)
    if _carries(instruction):
        return None
    return lanes.b.add(bits.integer_product(lanes, instruction, x), x[2])


def _fma(lanes: Lanes, instruction: Instruction, x: Sequence[Value]) -> Value | None:
    if not (way := way_of(instruction)):
        return lanes.intrinsic("fma", *x)
    if instruction.type != "f32":
        return None
    a, b, c = widened(lanes, x)
    return rounded(lanes, *sum_and_error(lanes, lanes.b.fmul(a, b), c), way)


def _div(lanes: Lanes, instruction: Instruction, x: Sequence[Value]) -> Value | None:
    return None if way_of(instruction) else lanes.b.fdiv(x[0], x[1])


def _neg(lanes: Lanes, instruction: Instruction, x: Sequence[Value]) -> Value:
    return lanes.b.fneg(x[0]) if is_float(instruction.type) else lanes.b.neg(x[0])


def _abs(lanes: Lanes, instruction: Instruction, x: Sequence[Value]) -> Value:
    if is_float(instruction.type):
        return lanes.intrinsic("fabs", x[0])
    zero = lanes.constant(x[0].type.element, 0)
    return lanes.b.select(lanes.b.icmp_signed("<", x[0], zero), lanes.b.neg(x[0]), x[0])


def _extreme(lanes: Lanes, instruction: Instruction, x: Sequence[Value]) -> Value:
    """min or max; of a number and a NaN the number, unless .NaN is asked for; -0 < +0."""
    way = instruction.opcode
    if not is_float(instruction.type):
        return lanes.intrinsic(f"{'s' if instruction.type[0] == 's' else 'u'}{way}", *x)
    words = {"min": "minimum", "max": "maximum"}
    return lanes.intrinsic(words[way] + ("" if instruction.has("NaN") else "num"), *x)


# --- functions of one number ---------------------------------------------------------------------


def _function(lanes: Lanes, instruction: Instruction, x: Sequence[Value]) -> Value:
    """ex2, lg2, sin, cos, tanh: only of float32."""
    return approximate(lanes, instruction.opcode, x[0]) if instruction.type == "f32" else None


def _root(lanes: Lanes, instruction: Instruction, x: Sequence[Value]) -> Value | None:
    """rcp, sqrt and rsqrt, rounded once; approximate ones of f64 keep their upper half."""
    if way_of(instruction):
        return None
    value, wide = x[0], instruction.type == "f64"
    if not wide and instruction.opcode == "rsqrt":
        value = lanes.b.fpext(value, vector(DOUBLE))
    if instruction.opcode != "rcp":
        value = lanes.intrinsic("sqrt", value)
    if instruction.opcode != "sqrt":
        value = lanes.b.fdiv(lanes.constant(value.type.element, 1.0), value)
    if not wide:
        return lanes.b.fptrunc(value, vector(FLOAT)) if instruction.opcode == "rsqrt" else value
    if not instruction.has("approx"):
        return value
    bits = lanes.b.and_(lanes.same_bits(value, INT64), lanes.constant(INT64, 0xFFFFFFFF_00000000))
    return flushed(lanes, lanes.same_bits(bits, DOUBLE))


# --- comparisons ---------------------------------------------------------------------------------


def compare(lanes: Lanes, instruction: Instruction, x: Sequence[Value]) -> Value:
    """The predicate of setp: x[0] against x[1], and with x[2] if there is a logic word."""
    b, kind = lanes.b, instruction.type
    way = instruction.modifiers[0]
    left, right = x[:2]
    if instruction.has("ftz"):
        left, right = flushed(lanes, left), flushed(lanes, right)
    if way in ("num", "nan"):
        test = b.fcmp_ordered if way == "num" else b.fcmp_unordered
        result = test("ord" if way == "num" else "uno", left, right)
    elif is_float(kind):
        ordered = way in _ORDER
        test = b.fcmp_ordered if ordered else b.fcmp_unordered
        result = test(_ORDER[way if ordered else way[:-1]], left, right)
    else:
        test = b.icmp_signed if kind[0] == "s" else b.icmp_unsigned
        result = test(_ORDER[way], left, right)
    logic = next((word for word in instruction.modifiers[1:] if word in _LOGIC), "")
    if logic:
        result = {"and": b.and_, "or": b.or_, "xor": b.xor}[logic](result, x[2])
    return result


def _test_property(lanes: Lanes, instruction: Instruction, x: Sequence[Value]) -> Value | None:
    b, value = lanes.b, x[0]
    element = value.type.element
    size = lanes.intrinsic("fabs", value)
    infinity = lanes.constant(element, float("inf"))
    tiny = lanes.constant(element, SMALLEST_NORMAL[element])
    zero = lanes.constant(element, 0.0)
    finite = b.fcmp_ordered("<", size, infinity)
    match instruction.modifiers[0]:
        case "finite":
            return finite
        case "infinite":
            return b.fcmp_ordered("==", size, infinity)
        case "number":
            return b.fcmp_ordered("ord", value, value)
        case "notanumber":
            return b.fcmp_unordered("uno", value, value)
        case "normal":
            return b.and_(finite, b.fcmp_ordered(">=", size, tiny))
        case "subnormal":
            return b.and_(b.fcmp_ordered(">", size, zero), b.fcmp_ordered("<", size, tiny))
    return None


def _sign_of(lanes: Lanes, instruction: Instruction, x: Sequence[Value]) -> Value:
    """copysign a, b: b with the sign of a."""
    return lanes.intrinsic("copysign", x[1], x[0])


_RULES: Mapping[str, Callable[[Lanes, Instruction, Sequence[Value]], Value | None]] = {
    "add": _add, "sub": _sub, "mul": _mul, "mad": _mad, "fma": _fma, "div": _div,
    "neg": _neg, "abs": _abs, "min": _extreme, "max": _extreme,
    "ex2": _function, "lg2": _function, "sin": _function, "cos": _function, "tanh": _function,
    "rcp": _root, "sqrt": _root, "rsqrt": _root,
    "testp": _test_property, "copysign": _sign_of,
    **bits.RULES,
}  # fmt: skip
