"""LLVM values of a warp: a PTX register is a vector of 32 lanes, a predicate a vector of bits."""

from collections.abc import Callable, Sequence
from typing import Any

from llvmlite import ir

from ..instruction import TYPES

WARP = 32
BIT, BYTE, INT32, INT64 = (ir.IntType(bits) for bits in (1, 8, 32, 64))
HALF, FLOAT, DOUBLE = ir.HalfType(), ir.FloatType(), ir.DoubleType()
POINTER = ir.PointerType()
VOID = ir.VoidType()

Value = Any  # llvmlite has no annotations
Body = Callable[["Lanes", Sequence[Value]], Value]


def scalar(kind: str) -> Any:
    """The LLVM type of one lane of a PTX type; signed and unsigned integers are the same."""
    floats = {"pred": BIT, "f16": HALF, "f32": FLOAT, "f64": DOUBLE}
    return floats.get(kind) or ir.IntType(8 * TYPES[kind].itemsize)


def vector(element: Any) -> Any:
    """32 lanes of a type."""
    return ir.VectorType(element, WARP)


def width(element: Any) -> int:
    """How many bits a lane of this type has."""
    return {HALF: 16, FLOAT: 32, DOUBLE: 64, POINTER: 64}.get(element) or int(element.width)


class Lanes:
    """Writes instructions, one for all lanes, at the end of an LLVM block.

    b          llvmlite's builder, for what is the same with vectors and scalars
    portable   gathers and scatters are loops over the lanes, for a processor that has no such
               instructions: LLVM would write them out 32 times
    """

    def __init__(self, builder: ir.IRBuilder, portable: bool) -> None:
        self.b, self.portable = builder, portable

    @property
    def module(self) -> Any:
        return self.b.module

    # --- constants and changes of type -----------------------------------------------------------

    def constant(self, element: Any, value: float) -> Value:
        """The same number in all lanes; an integer is taken modulo its range."""
        return self.each(element, [value] * WARP)

    def each(self, element: Any, values: Sequence[float]) -> Value:
        """A number for each lane."""
        if isinstance(element, ir.IntType):
            values = [int(value) & ((1 << element.width) - 1) for value in values]
        return ir.Constant(vector(element), list(values))

    def splat(self, value: Value) -> Value:
        """A scalar in all lanes."""
        empty = ir.Constant(vector(value.type), ir.Undefined)
        first = self.b.insert_element(empty, value, INT32(0))
        return self.b.shuffle_vector(first, first, ir.Constant(vector(INT32), [0] * WARP))

    def same_bits(self, value: Value, element: Any) -> Value:
        """The bits of each lane as another type of the same width."""
        return value if value.type.element == element else self.b.bitcast(value, vector(element))

    def resized(self, value: Value, element: Any, signed: bool) -> Value:
        """The bits of each lane cut off, or extended by zeros or the sign."""
        have, want = width(value.type.element), width(element)
        if have == want:
            return self.same_bits(value, element)
        value = self.same_bits(value, ir.IntType(have))
        change = self.b.trunc if want < have else self.b.sext if signed else self.b.zext
        return self.same_bits(change(value, vector(ir.IntType(want))), element)

    def as_mask(self, bits: Value) -> Value:
        """A word with a bit for each lane, as a vector of bits."""
        return self.b.bitcast(bits, vector(BIT))

    def as_bits(self, mask: Value) -> Value:
        """A vector of bits as a word."""
        return self.b.bitcast(mask, INT32)

    # --- calls -----------------------------------------------------------------------------------

    def call(self, name: str, result: Any, *arguments: Value) -> Value:
        """Call a function by name, which LLVM knows or the module has."""
        kinds = [each.type for each in arguments]
        known = self.module.globals.get(name)
        return self.b.call(
            known or ir.Function(self.module, ir.FunctionType(result, kinds), name), arguments
        )

    def intrinsic(self, name: str, *arguments: Value) -> Value:
        """An intrinsic of LLVM that gives the type of its first argument."""
        kind = arguments[0].type
        return self.call(f"llvm.{name}.{suffix(kind.element)}", kind, *arguments)

    def lowest(self, bits: Value) -> Value:
        """The number of the lowest lane in a word that is not 0."""
        return self.call("llvm.cttz.i32", INT32, bits, BIT(0))

    def lane_by_lane(self, name: str, result: Any, arguments: Sequence[Value], body: Body) -> Value:
        """Call a function that runs `body` on one lane after the other; made at its first use.

        The last argument is the word of lanes to run, the others are vectors. `body` gets
        scalars, and gives the lane's result (None for `result` VOID). Lanes that do not run keep
        what the first argument has if that is of the result's type, else they hold nothing.
        """
        kinds = [each.type for each in arguments]
        if name not in self.module.globals:
            _loop_over_lanes(self.module, name, result, kinds, body, self.portable)
        return self.b.call(self.module.globals[name], arguments)

    # --- memory ----------------------------------------------------------------------------------

    def shifted(self, pointers: Value, nbytes: int) -> Value:
        """All pointers moved by so many bytes."""
        return self.offset(pointers, self.constant(INT64, nbytes)) if nbytes else pointers

    def offset(self, base: Value, nbytes: Value) -> Value:
        """A pointer, or 32 of them, moved by a number of bytes for each lane."""
        pointers = self.b.gep(base, [nbytes], source_etype=BYTE)
        pointers.type = vector(POINTER)  # llvmlite takes it for one
        return pointers

    def gather(self, element: Any, pointers: Value, active: Value) -> Value:
        """What lies at the pointers of the active lanes, a word of them."""
        if self.portable:
            return self.lane_by_lane(
                f"gather.{suffix(element)}",
                vector(element),
                [pointers, active],
                lambda lanes, one: lanes.b.load(one[0], typ=element, align=1),
            )
        nothing = ir.Constant(vector(element), ir.Undefined)
        size = INT32(width(element) // 8)
        name = f"llvm.masked.gather.{suffix(element)}.v{WARP}p0"
        return self.call(name, vector(element), pointers, size, self.as_mask(active), nothing)

    def scatter(self, values: Value, pointers: Value, active: Value) -> None:
        """Write the active lanes' values where they point, the highest lane last."""
        element = values.type.element
        if self.portable:
            self.lane_by_lane(
                f"scatter.{suffix(element)}",
                VOID,
                [pointers, values, active],
                lambda lanes, one: lanes.b.store(one[1], one[0], align=1),
            )
            return
        name = f"llvm.masked.scatter.{suffix(element)}.v{WARP}p0"
        size = INT32(width(element) // 8)
        self.call(name, VOID, values, pointers, size, self.as_mask(active))


def suffix(element: Any) -> str:
    """How LLVM calls a vector of 32 such lanes in the names of intrinsics."""
    names = {HALF: "f16", FLOAT: "f32", DOUBLE: "f64", POINTER: "p0"}
    return f"v{WARP}{names.get(element) or f'i{element.width}'}"


def _loop_over_lanes(
    module: Any, name: str, result: Any, kinds: Sequence[Any], body: Body, portable: bool
) -> None:
    """Define a function that runs the body for each lane of its last argument."""
    function = ir.Function(module, ir.FunctionType(result, kinds), name)
    function.linkage = "internal"
    function.attributes.add("noinline")
    b = ir.IRBuilder(function.append_basic_block("entry"))
    cells = [_cell(b, kind) for kind in kinds[:-1]]
    for cell, argument in zip(cells, function.args, strict=False):
        b.store(argument, cell, align=64)
    out = None if result == VOID else _cell(b, result)
    if out and kinds[0] == result:
        b.store(function.args[0], out, align=64)
    rest = _cell(b, INT32)
    b.store(function.args[-1], rest)
    head, run, end = (function.append_basic_block(word) for word in ("head", "run", "end"))
    b.branch(head)
    b.position_at_end(head)
    left = b.load(rest, typ=INT32)
    b.cbranch(b.icmp_unsigned("==", left, INT32(0)), end, run)
    b.position_at_end(run)
    lanes = Lanes(b, portable)
    lane = lanes.lowest(left)
    b.store(b.and_(left, b.sub(left, INT32(1))), rest)
    scalars = [
        b.load(b.gep(cell, [lane], source_etype=kind.element), typ=kind.element)
        for cell, kind in zip(cells, kinds, strict=False)
    ]
    value = body(lanes, scalars)
    if out:
        b.store(value, b.gep(out, [lane], source_etype=result.element))
    b.branch(head)
    b.position_at_end(end)
    if out:
        b.ret(b.load(out, typ=result, align=64))
    else:
        b.ret_void()


def _cell(builder: Any, kind: Any) -> Value:
    """Room for one value of this type, in memory of the function."""
    cell = builder.alloca(kind)
    cell.type = POINTER
    return cell
