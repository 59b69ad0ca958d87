"""One PTX instruction as LLVM: which operands it reads, as what, and which file knows the rest."""

from llvmlite import ir

from ..instruction import TYPES, Instruction, Vector
from .arithmetic import compare, compute
from .bits import divide
from .context import Reason, Unknown
from .convert import convert
from .exchange import match, multiply_matrices, reduce, shuffle, vote
from .frame import Frame
from .lanes import INT32, INT64, Value, scalar, vector
from .memory_access import atomic, copy_async, load, store, to_generic
from .rounding import is_float

# One thread's writes are seen by others in the order of the text, for warps do not overlap.
_NOTHING_TO_DO = frozenset(
    {"membar", "fence", "nanosleep", "bar", "barrier", "prefetch", "prefetchu", "pragma"}
)
_WORDS = frozenset({"popc", "clz", "bfind"})  # whose result is a word whatever they count in


def translate(frame: Frame, instruction: Instruction) -> None:
    """Write an instruction for the active lanes. Raises Unknown."""
    match instruction.opcode:
        case "ld" | "ldu":
            load(frame, instruction)
        case "st":
            store(frame, instruction)
        case "atom" | "red":
            if not atomic(frame, instruction):
                raise Unknown
        case "cp":
            if not instruction.has("async") or instruction.has("bulk"):
                raise Unknown
            copy_async(frame, instruction)
        case "mov":
            _move(frame, instruction)
        case "cvta":
            value = frame.read(instruction.operands[1], instruction.type)
            _give(frame, instruction, to_generic(frame, instruction, value))
        case "cvt":
            _convert(frame, instruction)
        case "setp":
            _set_predicate(frame, instruction)
        case "selp":
            left, right = (frame.read(each, instruction.type) for each in instruction.operands[1:3])
            which = frame.read(instruction.operands[3], "pred")
            _give(frame, instruction, frame.lanes.b.select(which, left, right))
        case "shfl":
            shuffle(frame, instruction)
        case "vote":
            vote(frame, instruction)
        case "match":
            match(frame, instruction)
        case "redux":
            reduce(frame, instruction)
        case "activemask":
            frame.write(instruction.operands[0], "b32", frame.lanes.splat(frame.active))
        case "mma":
            multiply_matrices(frame, instruction)
        case "trap":
            frame.fail(Reason.TRAP, instruction)
        case opcode if opcode in _NOTHING_TO_DO and _is_harmless(instruction):
            pass
        case _:
            _arithmetic(frame, instruction)


def _is_harmless(instruction: Instruction) -> bool:
    return instruction.opcode not in ("bar", "barrier") or instruction.has("warp")


def _give(frame: Frame, instruction: Instruction, value: Value) -> None:
    frame.write(instruction.operands[0], instruction.type, value)


def _move(frame: Frame, instruction: Instruction) -> None:
    """mov: a value; or a word taken apart into a vector, or put together out of one."""
    lanes, kind = frame.lanes, instruction.type
    target, source = instruction.operands
    if instruction.has("each"):  # parameters of an inlined call
        assert isinstance(target, Vector) and isinstance(source, Vector)
        for to, value in zip(target.items, source.items, strict=True):
            frame.write(to, kind, frame.read(value, kind))
        return
    bits = 8 * TYPES[kind].itemsize
    whole = ir.IntType(bits)
    if isinstance(target, Vector):
        word = lanes.same_bits(frame.read(source, kind), whole)
        part = bits // len(target.items)
        for number, each in enumerate(target.items):
            moved = lanes.b.lshr(word, lanes.constant(whole, number * part))
            frame.write(each, f"b{part}", lanes.resized(moved, ir.IntType(part), False))
    elif isinstance(source, Vector):
        part = bits // len(source.items)
        word = lanes.constant(whole, 0)
        for number, each in enumerate(source.items):
            value = lanes.resized(frame.read(each, f"b{part}"), whole, False)
            word = lanes.b.or_(word, lanes.b.shl(value, lanes.constant(whole, number * part)))
        frame.write(target, kind, word)
    else:
        frame.write(target, kind, frame.read(source, kind))


def _convert(frame: Frame, instruction: Instruction) -> None:
    kinds = [word for word in instruction.modifiers if word in TYPES]
    if len(kinds) != (1 if instruction.has("tf32") else 2):
        raise Unknown
    value = convert(frame.lanes, instruction, frame.read(instruction.operands[1], kinds[-1]))
    if value is None:
        raise Unknown
    to = "b32" if instruction.has("tf32") else kinds[0]
    frame.write(instruction.operands[0], to, value)


def _set_predicate(frame: Frame, instruction: Instruction) -> None:
    target, *operands = instruction.operands
    values = [frame.read(each, instruction.type) for each in operands[:2]]
    values += [frame.read(each, "pred") for each in operands[2:]]
    result = compare(frame.lanes, instruction, values)
    if isinstance(target, Vector):
        first, second = target.items
        if len(operands) > 2:
            raise Unknown
        frame.write(first, "pred", result)
        frame.write(second, "pred", frame.lanes.b.not_(result))
    else:
        frame.write(target, "pred", result)


def _arithmetic(frame: Frame, instruction: Instruction) -> None:
    kinds = _operand_kinds(instruction)
    operands = instruction.operands[1 : 1 + len(kinds)]
    values = [frame.read(each, kind) for each, kind in zip(operands, kinds, strict=True)]
    if instruction.opcode in ("div", "rem") and not is_float(instruction.type):
        value = divide(frame.lanes, instruction, values, frame.active)
    elif instruction.has("cc") or instruction.opcode in ("addc", "subc", "madc"):
        value = _with_carry(frame, instruction, values)
    else:
        value = compute(frame.lanes, instruction, values)
    if value is None:
        raise Unknown
    frame.write(instruction.operands[0], _result_kind(instruction), value)


def _operand_kinds(instruction: Instruction) -> list[str]:
    """The types as which an instruction reads its operands, the result left out."""
    kind = instruction.type
    if not kind and instruction.opcode not in ("shf", "lop3", "prmt"):
        raise Unknown
    match instruction.opcode:
        case "shl" | "shr":
            return [kind, "u32"]
        case "shf":
            return ["b32", "b32", "u32"]
        case "lop3" | "prmt":
            return ["b32", "b32", "b32"]
        case "bfi":
            return [kind, kind, "u32", "u32"]
        case "bfe":
            return [kind, "u32", "u32"]
        case "mad" if instruction.has("wide"):
            return [kind, kind, _wide(kind)]
    return [kind] * (len(instruction.operands) - 1)


def _result_kind(instruction: Instruction) -> str:
    kind = instruction.type
    if instruction.opcode in _WORDS:
        return "u32"
    if instruction.opcode == "testp":
        return "pred"
    if instruction.has("wide"):
        return _wide(kind)
    return kind or "b32"


def _wide(kind: str) -> str:
    return f"{kind[0]}{16 * TYPES[kind].itemsize}"


def _with_carry(frame: Frame, instruction: Instruction, values: list[Value]) -> Value | None:
    """32-bit sums and products with a carry from, or to, the next instruction."""
    if TYPES[instruction.type].itemsize != 4:
        return None
    lanes, b = frame.lanes, frame.lanes.b
    word = lanes.constant(INT64, 32)
    wide = [lanes.resized(each, INT64, False) for each in values]
    if instruction.opcode in ("mad", "madc"):
        signed = instruction.type[0] == "s"
        product = b.mul(*(lanes.resized(each, INT64, signed) for each in values[:2]))
        low = b.and_(product, lanes.constant(INT64, 0xFFFFFFFF))
        wide = [b.lshr(product, word) if instruction.has("hi") else low, wide[2]]
    minus = instruction.opcode.startswith("sub")
    step = b.sub if minus else b.add
    total = step(wide[0], wide[1])
    if instruction.opcode in ("addc", "subc", "madc"):
        carry = b.load(frame.carry(), typ=vector(INT32))
        total = step(total, lanes.resized(carry, INT64, False))
    if instruction.has("cc"):
        out = lanes.resized(b.and_(b.lshr(total, word), lanes.constant(INT64, 1)), INT32, False)
        old = b.load(frame.carry(), typ=vector(INT32))
        b.store(b.select(lanes.as_mask(frame.active), out, old), frame.carry())
    return lanes.resized(total, scalar("b32"), False)
