"""What the instructions of a warp stand on: registers, the words of the context, faults."""

from collections.abc import Iterator
from contextlib import contextmanager

from llvmlite import ir

from ..instruction import (
    TYPES,
    Address,
    Immediate,
    Instruction,
    Not,
    Operand,
    Register,
    Special,
    Symbol,
)
from ..program import Kernel
from .allocations import FIND
from .context import Reason, Unknown, Word
from .lanes import BYTE, INT32, INT64, POINTER, WARP, Lanes, Value, scalar, vector

_LANE_MASKS = {
    "eq": [1 << lane for lane in range(WARP)],
    "lt": [(1 << lane) - 1 for lane in range(WARP)],
    "le": [(2 << lane) - 1 for lane in range(WARP)],
    "gt": [~((2 << lane) - 1) for lane in range(WARP)],
    "ge": [~((1 << lane) - 1) for lane in range(WARP)],
}
_DIMENSIONS = {"ctaid": Word.BLOCK, "ntid": Word.BLOCK_SIZE, "nctaid": Word.GRID_SIZE}


class Frame:
    """The frame of a warp's function while it is written.

    kernel    what is translated
    lanes     where the next instruction goes
    active    the word of lanes that execute it
    fault     the LLVM block to which a fault leads
    """

    def __init__(self, kernel: Kernel, function: ir.Function, portable: bool) -> None:
        self.kernel = kernel
        self.context = function.args[0]
        self.active: Value = None
        self._entry = function.append_basic_block("entry")
        self.lanes = Lanes(ir.IRBuilder(self._entry), portable)
        self.fault = function.append_basic_block("fault")
        self.registers = {
            name: self.variable(vector(scalar(kind))) for name, kind in kernel.registers.items()
        }
        self._carry = self.variable(vector(INT32))
        self.lanes.b.store(self.lanes.constant(INT32, 0), self._carry)
        self._variables = {name: number for number, name in enumerate(kernel.globals)}
        self._kept = frozenset[str]().union(*(block.live for block in kernel.blocks))
        self._blend = False
        self._specials: dict[str, Value] = {}
        self._numbers = {id(each): number for number, each in enumerate(kernel.instructions)}

    def variable(self, kind: ir.Type) -> Value:
        """Room for a value, which LLVM turns into values of their own."""
        cell = self.lanes.b.alloca(kind)
        cell.type = POINTER
        return cell

    def word(self, place: int) -> Value:
        """A word of the context, an i64."""
        b = self.lanes.b
        return b.load(b.gep(self.context, [INT32(place)], source_etype=INT64), typ=INT64)

    def pointer(self, place: int, offset: int = 0) -> Value:
        """The address in a word of the context, moved by some bytes."""
        pointer = self.lanes.b.inttoptr(self.word(place), POINTER)
        if not offset:
            return pointer
        return self.lanes.b.gep(pointer, [INT64(offset)], source_etype=BYTE)

    def parameter(self, address: Address) -> int:
        """The offset of [parameter + offset] in the block of arguments."""
        if isinstance(address.base, Symbol):
            for parameter in self.kernel.parameters:
                if parameter.name == address.base.name:
                    return parameter.offset + address.offset
        raise Unknown

    def address_of(self, name: str) -> Value:
        """The address of a variable in its space, for each lane."""
        for variables in (self.kernel.shared, self.kernel.local):
            if name in variables:
                return self.lanes.constant(INT64, variables[name].offset)
        if name not in self._variables:
            raise Unknown
        place = self.pointer(Word.VARIABLES, 8 * self._variables[name])
        return self.lanes.splat(self.lanes.b.load(place, typ=INT64))

    def is_word(self, register: Register) -> bool:
        """Whether a register has 32 bits: a short address of shared or local memory."""
        return TYPES[self.kernel.registers[register.name]].itemsize == 4

    def read(self, operand: Operand, kind: str) -> Value:
        """The lanes' values of an operand as a PTX type."""
        lanes, element = self.lanes, scalar(kind)
        signed = kind[0] == "s"
        match operand:
            case Immediate():
                value = operand.value(TYPES[kind])
                if element in (ir.FloatType(), ir.DoubleType()):
                    bits = value.view(f"u{value.itemsize}")  # exact, of a NaN too
                    words = lanes.constant(ir.IntType(8 * value.itemsize), int(bits))
                    return lanes.same_bits(words, element)
                return lanes.constant(element, int(value))
            case Symbol(name):
                return lanes.resized(self.address_of(name), element, False)
            case Special(name):
                return lanes.resized(self._special(name), element, False)
            case Not(register):
                return lanes.b.not_(self.read(register, "pred"))
            case Register(name):
                kept = vector(scalar(self.kernel.registers[name]))
                value = lanes.b.load(self.registers[name], typ=kept)
                if kept.element == element:
                    return value
                return lanes.resized(value, element, signed)
        raise Unknown

    def write(self, operand: Operand, kind: str, value: Value) -> None:
        """Give the active lanes of a register these values of a PTX type."""
        if not isinstance(operand, Register):
            raise Unknown
        if operand.name == "_":
            return
        element = scalar(self.kernel.registers[operand.name])
        if value.type.element != element:
            value = self.lanes.resized(value, element, kind[0] == "s")
        cell = self.registers[operand.name]
        if self._blend or operand.name in self._kept:
            b = self.lanes.b
            old = b.load(cell, typ=value.type)
            value = b.select(self.lanes.as_mask(self.active), value, old)
        self.lanes.b.store(value, cell)

    def carry(self) -> Value:
        """Where the carry of .cc instructions is kept, a word a lane."""
        return self._carry

    def room(self, vectors: int) -> Value:
        """Memory of the function for so many vectors of words."""
        builder = ir.IRBuilder(self._entry)
        builder.position_before(self._entry.terminator)
        cell = builder.alloca(vector(INT32), size=vectors)
        cell.align = 128
        cell.type = POINTER
        return cell

    @contextmanager
    def only(self, active: Value) -> Iterator[None]:
        """Instructions for fewer lanes; what the others hold stays."""
        before, self.active = self.active, active
        blend, self._blend = self._blend, True
        yield
        self.active, self._blend = before, blend

    # --- faults ----------------------------------------------------------------------------------

    def fail_if(
        self, lanes: Value, reason: Reason, instruction: Instruction, addresses: Value
    ) -> None:
        """Leave if an active lane is among these, a word of lanes."""
        b = self.lanes.b
        bad = b.and_(lanes, self.active)
        with b.if_then(b.icmp_unsigned("!=", bad, INT32(0)), likely=False):
            lane = self.lanes.lowest(bad)
            self._leave(reason, instruction, lane, b.extract_element(addresses, lane))

    def fail(self, reason: Reason, instruction: Instruction) -> None:
        """Leave if any lane is active."""
        zero = self.lanes.constant(INT64, 0)
        self.fail_if(INT32(-1), reason, instruction, zero)

    def _leave(self, reason: Reason, instruction: Instruction, lane: Value, address: Value) -> None:
        b = self.lanes.b
        number = self._numbers[id(instruction)]
        facts = [INT64(reason), INT64(number), b.zext(lane, INT64), address]
        for place, fact in enumerate(facts):
            b.store(fact, b.gep(self.context, [INT32(Word.FAULT + place)], source_etype=INT64))
        b.branch(self.fault)

    def find_allocations(
        self, instruction: Instruction, addresses: Value, size: int, writes: bool
    ) -> None:
        """Leave unless each active lane's bytes lie in an allocation that it may use."""
        b, lanes = self.lanes.b, self.lanes
        recent = self.pointer(Word.RECENT, 16 * self._numbers[id(instruction)])
        begin = b.load(recent, typ=INT64)
        room = b.load(b.gep(recent, [INT32(1)], source_etype=INT64), typ=INT64)
        last = lanes.splat(b.sub(room, INT64(size)))
        inside = b.icmp_unsigned("<=", b.sub(addresses, lanes.splat(begin)), last)
        elsewhere = b.and_(self.active, b.not_(lanes.as_bits(inside)))
        with b.if_then(b.icmp_unsigned("!=", elsewhere, INT32(0)), likely=False):
            table = self.pointer(Word.ALLOCATIONS)
            count = b.trunc(self.word(Word.ALLOCATION_COUNT), INT32)
            arguments = [table, count, recent, addresses, INT64(size), elsewhere]
            faults = lanes.call(FIND, INT32, *arguments, ir.IntType(1)(int(writes)))
            self.fail_if(faults, Reason.GLOBAL, instruction, addresses)

    # --- special registers -----------------------------------------------------------------------

    def _special(self, name: str) -> Value:
        """The lanes' values of a special register, read once, where the function begins."""
        if name not in self._specials:
            here, builder = self.lanes.b, ir.IRBuilder(self._entry)
            builder.position_before(self._entry.terminator)
            self.lanes.b = builder
            try:
                self._specials[name] = self._read_special(name)
            finally:
                self.lanes.b = here
        return self._specials[name]

    def _read_special(self, name: str) -> Value:
        lanes, b = self.lanes, self.lanes.b
        root, _, axis = name.removeprefix("%").partition(".")
        number = "xyz".find(axis) if axis else 0
        if root == "tid":
            place = self.pointer(Word.THREADS, 4 * WARP * number)
            return b.load(place, typ=vector(INT32), align=4)
        if root in _DIMENSIONS:
            return lanes.splat(b.trunc(self.word(_DIMENSIONS[root] + number), INT32))
        if root == "laneid":
            return lanes.each(INT32, list(range(WARP)))
        if root.startswith("lanemask_"):
            return lanes.each(INT32, _LANE_MASKS[root.removeprefix("lanemask_")])
        if root == "warpid":
            return lanes.splat(b.trunc(self.word(Word.WARP), INT32))
        if root == "nwarpid":
            return lanes.constant(INT32, 64)
        if root in ("smid", "gridid"):
            return lanes.constant(INT32, 0)
        if root == "nsmid":
            return lanes.constant(INT32, 1)
        if root in ("dynamic_smem_size", "total_smem_size"):
            fixed = self.kernel.shared_bytes if root.startswith("dynamic") else 0
            size = b.sub(self.word(Word.SHARED_BYTES), INT64(fixed))
            return lanes.splat(b.trunc(size, INT32))
        raise Unknown
