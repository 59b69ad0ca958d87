"""Vector instructions for Numba: the processor's vectors, and LLVM code for them.

Numba has no vector type. What needs vectors is therefore written as an `@intrinsic`: a function
that emits the LLVM instructions it consists of, when a kernel that calls it is compiled. Arrays are
flat there, with a start and a step; nothing is checked.
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from llvmlite import ir

from .._compile.vectors import CHOSEN

LANES, ROWS, LOW_ROWS, FUSED = CHOSEN

VECTOR = ir.VectorType(ir.FloatType(), LANES)
INT = ir.IntType(64)
SHORT = ir.IntType(32)  # of which LLVM wants the numbers of lanes


def constant(value: float) -> Any:
    """A vector with the same number in all lanes."""
    return ir.Constant(VECTOR, [value] * LANES)


def lane_numbers() -> Any:
    """A vector of the numbers of its lanes, 64 bits each."""
    return ir.Constant(ir.VectorType(INT, LANES), list(range(LANES)))


class Emitter:
    """Writes instructions on vectors of LANES floats."""

    def __init__(self, context: Any, builder: Any) -> None:
        self.context = context
        self.builder = builder

    def data(self, array_type: Any, array: Any) -> Any:
        """The address of an array's first element."""
        return self.context.make_array(array_type)(self.context, self.builder, value=array).data

    def at(self, pointer: Any, *offsets: Any) -> Any:
        """The address `offsets` elements further; an offset is an int or a 64-bit value."""
        for offset in offsets:
            if isinstance(offset, int):
                offset = ir.Constant(INT, offset)
            pointer = self.builder.gep(pointer, [offset])
        return pointer

    def load(self, pointer: Any) -> Any:
        """LANES floats from anywhere."""
        loaded = self.builder.load(self.builder.bitcast(pointer, VECTOR.as_pointer()))
        loaded.align = 4
        return loaded

    def store(self, vector: Any, pointer: Any) -> None:
        """LANES floats to anywhere."""
        self.builder.store(vector, self.builder.bitcast(pointer, VECTOR.as_pointer())).align = 4

    def prefetch(self, pointer: Any, to_write: bool = False) -> None:
        """Have the cache line at an address brought into the first-level cache."""
        byte = ir.IntType(8).as_pointer()
        kind = ir.FunctionType(ir.VoidType(), [byte, SHORT, SHORT, SHORT])
        module = self.builder.module
        name = "llvm.prefetch.p0i8"
        function = module.globals.get(name) or ir.Function(module, kind, name)
        address = self.builder.bitcast(pointer, byte)
        self.builder.call(function, [address, SHORT(int(to_write)), SHORT(3), SHORT(1)])

    def spread(self, value: Any, kind: Any = VECTOR) -> Any:
        """A vector with a value in all its lanes."""
        empty = ir.Constant(kind, ir.Undefined)
        return self.shuffle(self.builder.insert_element(empty, value, SHORT(0)), empty, [0] * LANES)

    def multiply_add(self, x: Any, y: Any, total: Any) -> Any:
        """x * y + total, rounded once where the processor can."""
        if not FUSED:
            return self.builder.fadd(total, self.builder.fmul(x, y))
        name = f"llvm.fma.v{LANES}f32"
        module = self.builder.module
        function = module.globals.get(name) or ir.Function(
            module, ir.FunctionType(VECTOR, [VECTOR] * 3), name
        )
        return self.builder.call(function, [x, y, total])

    def shuffle(self, x: Any, y: Any, lanes: list[int]) -> Any:
        """A vector of lanes of x (0 ..) and y (LANES ..)."""
        picked = ir.Constant(ir.VectorType(SHORT, LANES), lanes)
        return self.builder.shuffle_vector(x, y, picked)

    def first_lanes(self, count: Any, vector: Any) -> Any:
        """The vector with zeros in its lanes from `count` on."""
        lanes = lane_numbers()
        inside = self.builder.icmp_signed("<", lanes, self.spread(count, lanes.type))
        return self.builder.select(inside, vector, constant(0.0))

    def choose(
        self, condition: Any, then: Callable[[], list[Any]], otherwise: Callable[[], list[Any]]
    ) -> list[Any]:
        """The values that `then` gives, or those that `otherwise` gives: as many, of one kind."""
        builder = self.builder
        blocks = [builder.append_basic_block(name) for name in ("then", "else", "chosen")]
        builder.cbranch(condition, blocks[0], blocks[1])
        found = []
        for way, block in zip((then, otherwise), blocks, strict=False):
            builder.position_at_end(block)
            found.append((way(), builder.block))
            builder.branch(blocks[2])
        builder.position_at_end(blocks[2])
        chosen = []
        for number, value in enumerate(found[0][0]):
            phi = builder.phi(value.type)
            for values, block in found:
                phi.add_incoming(values[number], block)
            chosen.append(phi)
        return chosen

    @contextmanager
    def loop(self, count: Any, carried: list[Any]) -> Iterator[tuple[Any, list[Any]]]:
        """`for index in range(count)` with values carried from one turn to the next.

        Yields the index and the values at the start of a turn. The body replaces the values in
        the list it was given by those at its end; after the loop the list holds the results.
        """
        builder = self.builder
        before = builder.block
        head = builder.append_basic_block("loop.head")
        body = builder.append_basic_block("loop.body")
        after = builder.append_basic_block("loop.end")
        builder.branch(head)
        builder.position_at_end(head)
        index = builder.phi(INT)
        index.add_incoming(INT(0), before)
        phis = []
        for value in carried:
            phi = builder.phi(value.type)
            phi.add_incoming(value, before)
            phis.append(phi)
        builder.cbranch(builder.icmp_signed("<", index, count), body, after)
        builder.position_at_end(body)
        values = list(phis)
        yield index, values
        index.add_incoming(builder.add(index, INT(1)), builder.block)
        for phi, value in zip(phis, values, strict=True):
            phi.add_incoming(value, builder.block)
        builder.branch(head)
        builder.position_at_end(after)
        carried[:] = phis
