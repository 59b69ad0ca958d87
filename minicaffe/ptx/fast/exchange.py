"""What lanes of a warp do together: shuffles, votes, matches, reductions, products of matrices."""

from llvmlite import ir

from ..instruction import Immediate, Instruction, Operand, Vector
from .context import Unknown
from .frame import Frame
from .lanes import DOUBLE, FLOAT, INT32, INT64, POINTER, VOID, WARP, Lanes, Value, vector

_MODES = ("up", "down", "bfly", "idx")
_TF32 = 0xFFFFE000  # the bits that a tensor core reads of a float32


def shuffle(frame: Frame, instruction: Instruction) -> None:
    """shfl.sync: each lane reads a register of another; PTX ISA, "shfl.sync", has the rule."""
    lanes, b = frame.lanes, frame.lanes.b
    target, source, by, clamp = instruction.operands[:4]
    result, valid = target.items if isinstance(target, Vector) else (target, None)
    mode = next(word for word in instruction.modifiers if word in _MODES)
    low = lanes.constant(INT32, 31)
    value = frame.read(source, "b32")
    step = b.and_(frame.read(by, "u32"), low)
    bounds = frame.read(clamp, "u32")
    segment = b.and_(b.lshr(bounds, lanes.constant(INT32, 8)), low)
    inside = b.xor(segment, low)  # the bits of a lane's number within its segment
    own = lanes.each(INT32, list(range(WARP)))
    first = b.and_(own, segment)
    last = b.or_(first, b.and_(b.and_(bounds, low), inside))
    match mode:
        case "up":
            other = b.sub(own, step)
        case "down":
            other = b.add(own, step)
        case "bfly":
            other = b.xor(own, step)
        case _:
            other = b.or_(first, b.and_(step, inside))
    found = b.icmp_signed(">=" if mode == "up" else "<=", other, last)
    other = b.select(found, other, own)
    frame.write(result, "b32", _looked_up(lanes, value, other))
    if valid is not None:
        frame.write(valid, "pred", found)


def _looked_up(lanes: Lanes, values: Value, numbers: Value) -> Value:
    """For each lane the value of the lane with this number."""
    if "lookup" not in lanes.module.globals:
        _define_lookup(lanes.module)
    return lanes.b.call(lanes.module.globals["lookup"], [values, numbers])


def _define_lookup(module: ir.Module) -> None:
    """Values go to memory, and come back from other places."""
    kind = vector(INT32)
    function = ir.Function(module, ir.FunctionType(kind, [kind, kind]), "lookup")
    function.linkage = "internal"
    b = ir.IRBuilder(function.append_basic_block("entry"))
    values, numbers = function.args
    cell = b.alloca(kind)
    cell.type = POINTER
    b.store(values, cell, align=64)
    out = ir.Constant(kind, ir.Undefined)
    for lane in range(WARP):
        number = b.extract_element(numbers, INT32(lane))
        place = b.gep(cell, [number], source_etype=INT32)
        out = b.insert_element(out, b.load(place, typ=INT32), INT32(lane))
    b.ret(out)


def vote(frame: Frame, instruction: Instruction) -> None:
    """vote.sync: all, any, uni or ballot over the lanes that the last operand names."""
    lanes, b = frame.lanes, frame.lanes.b
    target, predicate, members = instruction.operands
    there = _members(frame, members)
    holds = b.and_(lanes.splat(lanes.as_bits(frame.read(predicate, "pred"))), there)
    if instruction.has("ballot"):
        frame.write(target, "b32", holds)
        return
    every = b.icmp_unsigned("==", holds, there)
    none = b.icmp_unsigned("==", holds, lanes.constant(INT32, 0))
    if instruction.has("all"):
        answer = every
    elif instruction.has("any"):
        answer = b.not_(none)
    elif instruction.has("uni"):
        answer = b.or_(every, none)
    else:
        raise Unknown
    frame.write(target, "pred", answer)


def _members(frame: Frame, operand: Operand) -> Value:
    """For each lane the word of active lanes that its mask names."""
    return frame.lanes.b.and_(frame.read(operand, "b32"), frame.lanes.splat(frame.active))


def match(frame: Frame, instruction: Instruction) -> None:
    """match.any: the lanes that hold the same value; match.all: all lanes if all do, else none."""
    lanes, b, kind = frame.lanes, frame.lanes.b, instruction.type
    target, source, members = instruction.operands
    result, valid = target.items if isinstance(target, Vector) else (target, None)
    value = lanes.resized(frame.read(source, kind), INT64, False)
    same = lanes.constant(INT32, 0)
    for lane in range(WARP):
        one = lanes.splat(b.extract_element(value, INT32(lane)))
        here = b.sext(b.icmp_unsigned("==", value, one), vector(INT32))
        same = b.or_(same, b.and_(here, lanes.constant(INT32, 1 << lane)))
    there = _members(frame, members)
    same = b.and_(same, there)
    if instruction.has("any"):
        frame.write(result, "b32", same)
        return
    agreed = b.icmp_unsigned("==", same, there)
    frame.write(result, "b32", b.select(agreed, there, lanes.constant(INT32, 0)))
    if valid is not None:
        frame.write(valid, "pred", agreed)


def reduce(frame: Frame, instruction: Instruction) -> None:
    """redux.sync: a sum, an extreme or a logic operation over lanes, of 32-bit integers."""
    lanes, b = frame.lanes, frame.lanes.b
    target, source, members = instruction.operands
    signed = instruction.type[0] == "s"
    names = {"add": "add", "and": "and", "or": "or", "xor": "xor"}
    names |= {"min": "smin" if signed else "umin", "max": "smax" if signed else "umax"}
    operation = next((word for word in instruction.modifiers if word in names), "")
    if not operation or instruction.type == "f32":
        raise Unknown
    lowest, highest = (0x80000000, 0x7FFFFFFF) if signed else (0, 0xFFFFFFFF)
    neutral = {"and": 0xFFFFFFFF, "min": highest, "max": lowest}.get(operation, 0)
    value, nothing = frame.read(source, instruction.type), lanes.constant(INT32, neutral)
    name = f"llvm.vector.reduce.{names[operation]}.v{WARP}i32"

    def over(named: Value) -> Value:
        return lanes.call(name, INT32, b.select(lanes.as_mask(named), value, nothing))

    there = _members(frame, members)
    if isinstance(members, Immediate):
        total = lanes.splat(over(b.extract_element(there, INT32(0))))
    else:  # each lane may name others
        total = nothing
        for lane in range(WARP):
            own = over(b.extract_element(there, INT32(lane)))
            total = b.insert_element(total, own, INT32(lane))
    frame.write(target, instruction.type, total)


# --- tensor cores --------------------------------------------------------------------------------


def multiply_matrices(frame: Frame, instruction: Instruction) -> None:
    """mma.sync m16n8k8 of tf32: d (16, 8) = a (16, 8) @ b (8, 8) + c, the warp's registers.

    Lane l holds a[l / 4 + 8 (i % 2), l % 4 + 4 (i / 2)] for i = 0 ... 3, b[l % 4 + 4 i, l / 4] for
    i = 0, 1, and c and d at [l / 4 + 8 (i / 2), 2 (l % 4) + i % 2] for i = 0 ... 3 (PTX ISA,
    "Matrix Fragments for mma.m16n8k8"). Products are exact in float64, sums have one rounding.
    """
    kinds = instruction.modifiers[-4:]
    if not instruction.has("m16n8k8") or kinds != ("f32", "tf32", "tf32", "f32"):
        raise Unknown
    lanes, b = frame.lanes, frame.lanes.b
    if "mma" not in lanes.module.globals:
        _define_mma(lanes.module)
    vectors = [each for each in instruction.operands if isinstance(each, Vector)]
    target, first, second, third = vectors
    cut = lanes.constant(INT32, _TF32)
    given = []
    for each in (*first.items, *second.items):
        bits = b.and_(frame.read(each, "b32"), cut)
        given.append(lanes.same_bits(bits, FLOAT))
    given += [frame.read(each, "f32") for each in third.items]
    room = frame.room(len(given) + len(target.items))
    for number, value in enumerate(given):
        b.store(value, b.gep(room, [INT32(number)], source_etype=vector(FLOAT)), align=64)
    b.call(lanes.module.globals["mma"], [room])
    for number, each in enumerate(target.items, start=len(given)):
        place = b.gep(room, [INT32(number)], source_etype=vector(FLOAT))
        frame.write(each, "f32", b.load(place, typ=vector(FLOAT), align=64))


def _define_mma(module: ir.Module) -> None:
    """mma(room): vectors 0-3 are a, 4-5 b, 6-9 c; it writes d, vectors 10-13.

    The lanes of a row of d work at once: for each k a vector of a's elements times one of b's.
    """
    function = ir.Function(module, ir.FunctionType(VOID, [POINTER]), "mma")
    function.linkage = "internal"
    function.attributes.add("noinline")
    b = ir.IRBuilder(function.append_basic_block("entry"))
    (room,) = function.args
    vectors = [
        b.load(
            b.gep(room, [INT32(number)], source_etype=vector(FLOAT)), typ=vector(FLOAT), align=64
        )
        for number in range(10)
    ]

    def moved(value: Value, places: list[int]) -> Value:
        wide = ir.Constant(vector(INT32), places)
        return b.fpext(b.shuffle_vector(value, value, wide), vector(DOUBLE))

    for i in range(4):
        total = b.fpext(vectors[6 + i], vector(DOUBLE))
        for k in range(8):
            # lane l wants a[l / 4 + 8 (i / 2), k] and b[k, 2 (l % 4) + i % 2]
            left = vectors[i // 2 + 2 * (k // 4)]
            right = vectors[4 + k // 4]
            from_a = moved(left, [4 * (lane // 4) + k % 4 for lane in range(WARP)])
            from_b = moved(right, [4 * (2 * (lane % 4) + i % 2) + k % 4 for lane in range(WARP)])
            total = b.fadd(total, b.fmul(from_a, from_b))
        place = b.gep(room, [INT32(10 + i)], source_etype=vector(FLOAT))
        b.store(b.fptrunc(total, vector(FLOAT)), place, align=64)
    b.ret_void()
