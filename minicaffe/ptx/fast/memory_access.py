"""Loads, stores and atomic operations of the lanes of a warp, each within its bounds."""

from collections.abc import Callable, Sequence

from llvmlite import ir

from ..instruction import TYPES, Address, Immediate, Instruction, Operand, Register, Symbol, Vector
from .context import Reason, Word
from .frame import Frame
from .lanes import (
    BYTE,
    FLOAT,
    INT32,
    INT64,
    POINTER,
    VOID,
    WARP,
    Lanes,
    Value,
    scalar,
    suffix,
    vector,
    width,
)

_ATOMIC = ("add", "min", "max", "exch", "cas", "and", "or", "xor", "inc", "dec")


def load(frame: Frame, instruction: Instruction) -> None:
    """ld: of a parameter, or of memory at an address for each lane."""
    target, source = instruction.operands
    assert isinstance(source, Address)
    kind = instruction.type
    targets = target.items if isinstance(target, Vector) else (target,)
    size = TYPES[kind].itemsize
    if instruction.space == "param":
        offset = frame.parameter(source)
        for number, each in enumerate(targets):
            place = frame.pointer(Word.PARAMETERS, offset + number * size)
            value = frame.lanes.b.load(place, typ=scalar(kind), align=1)
            frame.write(each, kind, frame.lanes.splat(value))
        return
    place = _Place(frame, instruction, source, size * len(targets), writes=False)
    for number, each in enumerate(targets):
        frame.write(each, kind, place.load(kind, number * size))


def store(frame: Frame, instruction: Instruction) -> None:
    """st: the lanes' values at the address of each."""
    target, source = instruction.operands
    assert isinstance(target, Address)
    kind = instruction.type
    sources = source.items if isinstance(source, Vector) else (source,)
    size = TYPES[kind].itemsize
    values = [frame.read(each, kind) for each in sources]
    place = _Place(frame, instruction, target, size * len(sources), writes=True)
    for number, value in enumerate(values):
        place.store(value, number * size)


def copy_async(frame: Frame, instruction: Instruction) -> None:
    """cp.async, done at once; what `src-size` leaves is filled with zeros."""
    if any(instruction.has(word) for word in ("commit_group", "wait_group", "wait_all")):
        return
    target, source, size = instruction.operands[:3]
    assert isinstance(target, Address) and isinstance(source, Address)
    assert isinstance(size, Immediate)
    lanes, active = frame.lanes, frame.active
    given = None
    reads = active
    if len(instruction.operands) > 3:
        given = frame.read(instruction.operands[3], "u32")
        some = lanes.b.icmp_unsigned("!=", given, lanes.constant(INT32, 0))
        reads = lanes.b.and_(active, lanes.as_bits(some))
    to = _Place(frame, instruction, target, size.bits, writes=True, space="shared")
    with frame.only(reads):
        place = _Place(frame, instruction, source, size.bits, writes=False, space="global")
        words = [place.load("b32", begin) for begin in range(0, size.bits, 4)]
    for number, word in enumerate(words):
        if given is not None:
            here = lanes.b.icmp_unsigned(">", given, lanes.constant(INT32, 4 * number))
            word = lanes.b.select(here, word, lanes.constant(INT32, 0))
        to.store(word, 4 * number)


def atomic(frame: Frame, instruction: Instruction) -> bool:
    """atom and red: the lanes one after the other, the lowest first. False if it is not known."""
    operation = next((word for word in instruction.modifiers if word in _ATOMIC), "")
    operands: Sequence[Operand] = instruction.operands
    result = None
    if instruction.opcode == "atom":
        result, *operands = operands
    address, kind = operands[0], instruction.type
    if not operation or not isinstance(address, Address) or kind == "f16":
        return False
    values = [frame.read(each, kind) for each in operands[1:]]
    place = _Place(frame, instruction, address, TYPES[kind].itemsize, writes=True)
    flushes = kind == "f32" and instruction.space != "shared"

    def body(lanes: Lanes, one: Sequence[Value]) -> Value:
        return _exchange(lanes, operation, kind, flushes, one)

    element = scalar(kind)
    name = f"atom.{operation}.{kind}{'.ftz' if flushes else ''}"
    old = frame.lanes.lane_by_lane(
        name, vector(element), [place.pointers, *values, frame.active], body
    )
    if result is not None:
        frame.write(result, kind, old)
    return True


def _exchange(
    lanes: Lanes, operation: str, kind: str, flushes: bool, one: Sequence[Value]
) -> Value:
    """Do one lane's operation, and give what was there before.

    Sums of float32 in global memory know no denormals (PTX ISA, "atom"): `flushes`.
    """
    b = lanes.b
    pointer, given = one[:2]
    element = scalar(kind)
    old = b.load(pointer, typ=element)
    is_float, signed = kind[0] == "f", kind[0] == "s"
    less = b.icmp_signed if signed else b.icmp_unsigned
    match operation:
        case "add":
            if flushes:
                parts = (_without_denormals(lanes, each) for each in (old, given))
                new = _without_denormals(lanes, b.fadd(*parts))
            else:
                new = b.fadd(old, given) if is_float else b.add(old, given)
        case "min" | "max":
            way = "<" if operation == "min" else ">"
            new = b.select(less(way, given, old), given, old)
        case "exch":
            new = given
        case "cas":
            new = b.select(b.icmp_unsigned("==", old, given), one[2], old)
        case "inc":
            new = b.select(b.icmp_unsigned(">=", old, given), element(0), b.add(old, element(1)))
        case "dec":
            beyond = b.or_(b.icmp_unsigned("==", old, element(0)), b.icmp_unsigned(">", old, given))
            new = b.select(beyond, given, b.sub(old, element(1)))
        case _:
            new = {"and": b.and_, "or": b.or_, "xor": b.xor}[operation](old, given)
    b.store(new, pointer)
    return old


def _without_denormals(lanes: Lanes, x: Value) -> Value:
    b = lanes.b
    zero = lanes.call("llvm.copysign.f32", FLOAT, FLOAT(0.0), x)
    size = lanes.call("llvm.fabs.f32", FLOAT, x)
    return b.select(b.fcmp_ordered("<", size, FLOAT(2.0**-126)), zero, x)


class _Place:
    """Where each lane of an instruction reads or writes `size` bytes, known to be allowed."""

    def __init__(
        self,
        frame: Frame,
        instruction: Instruction,
        operand: Address,
        size: int,
        writes: bool,
        space: str = "",
    ) -> None:
        self.frame, self.lanes, self.size = frame, frame.lanes, size
        self.space = space or instruction.space
        self.addresses = self._addresses(operand)
        if size > 1:
            bits = frame.lanes.b.and_(self.addresses, frame.lanes.constant(INT64, size - 1))
            zero = frame.lanes.constant(INT64, 0)
            bad = frame.lanes.b.icmp_unsigned("!=", bits, zero)
            self._fail_if(bad, instruction, Reason.MISALIGNED)
        match self.space:
            case "shared":
                self._check_size(frame.word(Word.SHARED_BYTES), instruction, Reason.SHARED)
                self.pointers = self._from(frame.pointer(Word.SHARED), self.addresses)
            case "local":
                nbytes = frame.kernel.local_bytes
                self._check_size(INT64(nbytes), instruction, Reason.LOCAL)
                begin = frame.lanes.each(INT64, [lane * nbytes for lane in range(WARP)])
                at = frame.lanes.b.add(self.addresses, begin)
                self.pointers = self._from(frame.pointer(Word.LOCAL), at)
            case _:
                frame.find_allocations(instruction, self.addresses, size, writes)
                self.pointers = frame.lanes.b.inttoptr(self.addresses, vector(POINTER))

    def _from(self, base: Value, offsets: Value) -> Value:
        return self.lanes.offset(base, offsets)

    def _addresses(self, operand: Address) -> Value:
        lanes, frame = self.lanes, self.frame
        offset = lanes.constant(INT64, operand.offset)
        match operand.base:
            case None:
                return offset
            case Symbol(name):
                return lanes.b.add(frame.address_of(name), offset)
            case Register():
                narrow = self.space != "global" and frame.is_word(operand.base)
                value = frame.read(operand.base, "u32" if narrow else "u64")
                value = lanes.resized(value, INT64, False)
                return lanes.b.add(value, offset) if operand.offset else value

    def _check_size(self, nbytes: Value, instruction: Instruction, reason: Reason) -> None:
        last = self.lanes.b.sub(nbytes, INT64(self.size))
        beyond = self.lanes.b.icmp_signed(">", self.addresses, self.lanes.splat(last))
        negative = self.lanes.b.icmp_signed("<", self.addresses, self.lanes.constant(INT64, 0))
        self._fail_if(self.lanes.b.or_(beyond, negative), instruction, reason)

    def _fail_if(self, bad: Value, instruction: Instruction, reason: Reason) -> None:
        self.frame.fail_if(self.lanes.as_bits(bad), reason, instruction, self.addresses)

    def load(self, kind: str, begin: int) -> Value:
        """The number at this byte of the place, for each active lane."""
        lanes, active, element = self.lanes, self.frame.active, scalar(kind)
        size = TYPES[kind].itemsize
        pointers = lanes.shifted(self.pointers, begin)
        nothing = ir.Constant(vector(element), ir.Undefined)
        name = f"llvm.masked.load.{suffix(element)}.p0"

        def together(first: Value) -> Value:
            mask = lanes.as_mask(active)
            return lanes.call(name, vector(element), first, INT32(size), mask, nothing)

        def apart() -> Value:
            return lanes.gather(element, pointers, active)

        return self._in_a_row(size, together, apart)

    def store(self, value: Value, begin: int) -> None:
        """Write a number for each active lane at this byte of the place."""
        lanes, active, element = self.lanes, self.frame.active, value.type.element
        size = width(element) // 8
        pointers = lanes.shifted(self.pointers, begin)
        name = f"llvm.masked.store.{suffix(element)}.p0"

        def together(first: Value) -> Value:
            return lanes.call(name, VOID, value, first, INT32(size), lanes.as_mask(active))

        def apart() -> None:
            lanes.scatter(value, pointers, active)

        self._in_a_row(size, together, apart)

    def _in_a_row(
        self, size: int, together: Callable[[Value], Value], apart: Callable[[], Value]
    ) -> Value:
        """`together` where the active lanes' numbers follow each other in memory, else `apart`."""
        if self.size != size or self.space == "local":  # vectors of a lane never do
            return apart()
        lanes, frame = self.lanes, self.frame
        b = lanes.b
        lane = b.and_(lanes.lowest(frame.active), INT32(WARP - 1))  # of none: any
        known = b.extract_element(self.addresses, lane)
        first = b.sub(known, b.mul(b.zext(lane, INT64), INT64(size)))
        steps = lanes.each(INT64, [size * number for number in range(WARP)])
        follow = b.icmp_unsigned("==", self.addresses, b.add(lanes.splat(first), steps))
        others = b.not_(frame.active)
        row = b.icmp_unsigned("==", b.or_(lanes.as_bits(follow), others), INT32(-1))
        some = b.icmp_unsigned("!=", frame.active, INT32(0))
        pointer = b.inttoptr(first, POINTER)
        if self.space == "shared":
            pointer = b.gep(frame.pointer(Word.SHARED), [first], source_etype=BYTE)
        with b.if_else(b.and_(row, some), likely=True) as (then, otherwise):
            with then:
                one, from_one = together(pointer), b.block
            with otherwise:
                other, from_other = apart(), b.block
        if one is None or one.type == VOID:
            return None
        result = b.phi(one.type)
        result.add_incoming(one, from_one)
        result.add_incoming(other, from_other)
        return result


def to_generic(frame: Frame, instruction: Instruction, value: Value) -> Value:
    """cvta: here a generic address is that of a byte of this process, whatever its space."""
    b, lanes = frame.lanes.b, frame.lanes
    if instruction.space == "shared":
        base = lanes.splat(frame.word(Word.SHARED))
    elif instruction.space == "local":
        nbytes = frame.kernel.local_bytes
        starts = lanes.each(INT64, [lane * nbytes for lane in range(WARP)])
        base = b.add(lanes.splat(frame.word(Word.LOCAL)), starts)
    else:
        return value
    return b.sub(value, base) if instruction.has("to") else b.add(value, base)
