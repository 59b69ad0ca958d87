"""Operands as functions: what reads a value from a batch, what writes one into it."""

from collections.abc import Callable

import numpy as np

from ...errors import KernelError
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
    Vector,
)
from ..program import Kernel
from .batch import Batch
from .lanes import Value

Read = Callable[[Batch], Value]
Write = Callable[[Batch, Value], None]
Step = Callable[[Batch], None]


def unknown(kernel: Kernel, instruction: Instruction, why: str = "") -> KernelError:
    """The error for an instruction that the emulator does not have."""
    return KernelError(
        f"kernel {kernel.short_name}: the emulator does not know this instruction{why}"
        f" (PTX line {instruction.line}: {instruction.text})"
    )


class Operands:
    """The registers of a kernel by number, and the functions that reach them.

    kept   the registers that some thread may hold while others run: written under the mask only
    used   the registers that any instruction reads
    """

    def __init__(self, kernel: Kernel) -> None:
        self.kernel = kernel
        self.number = {name: index for index, name in enumerate(kernel.registers)}
        self.kept = frozenset().union(*(block.live for block in kernel.blocks))
        self.used = {name for each in kernel.instructions for name in each.reads}
        self.undefined = [  # read before they are written, on some way
            (self.number[name], np.zeros(1, TYPES[kernel.registers[name]]))
            for name in (kernel.blocks[0].live if kernel.blocks else ())
        ]

    def type_of(self, operand: Operand) -> np.dtype:
        """The type of a register as it was declared."""
        assert isinstance(operand, Register)
        return TYPES[self.kernel.registers[operand.name]]

    # --- reading ---------------------------------------------------------------------------------

    def read(self, operand: Operand, kind: str) -> Read:
        """What gives the operand's value as numbers of a PTX type."""
        dtype = TYPES[kind]
        match operand:
            case Register(name):
                return self._register(name, dtype)
            case Not(register):
                plain = self._register(register.name, dtype)
                return lambda batch: ~plain(batch)
            case Immediate():
                constant = np.array([operand.value(dtype)])
                return lambda batch: constant
            case Special(name):
                return _special(name, dtype)
            case Symbol(name):
                return self._symbol(name, dtype)
        raise KernelError(f"kernel {self.kernel.short_name}: not a value: {operand}")

    def _register(self, name: str, dtype: np.dtype) -> Read:
        number = self.number[name]
        size = TYPES[self.kernel.registers[name]].itemsize

        def read(batch: Batch) -> Value:
            value = batch.registers[number]
            assert value is not None
            return value if value.dtype is dtype else value.view(dtype)

        if size == dtype.itemsize:
            return read
        narrow, bits = np.dtype(f"u{dtype.itemsize}"), np.dtype(f"u{size}")

        def read_narrow(batch: Batch) -> Value:
            value = batch.registers[number]
            assert value is not None
            return value.view(bits).astype(narrow).view(dtype)

        return read_narrow

    def _symbol(self, name: str, dtype: np.dtype) -> Read:
        for variables in (self.kernel.shared, self.kernel.local):
            if name in variables:
                constant = np.array([variables[name].offset]).astype(dtype)
                return lambda batch: constant
        if name in self.kernel.globals:
            return lambda batch: np.array([batch.launch.symbols[name]]).astype(dtype)
        raise KernelError(f"kernel {self.kernel.short_name}: no variable '{name}' has an address")

    def address(self, operand: Operand) -> Read:
        """What gives an address, as unsigned 64 bits."""
        assert isinstance(operand, Address)
        offset = np.array([operand.offset]).astype(np.uint64)
        if operand.base is None:
            return lambda batch: offset
        if isinstance(operand.base, Symbol):
            base = self._symbol(operand.base.name, TYPES["u64"])
            return lambda batch: base(batch) + offset
        number = self.number[operand.base.name]
        bits = TYPES[f"u{8 * self.type_of(operand.base).itemsize}"]

        def read(batch: Batch) -> Value:
            value = batch.registers[number]
            assert value is not None
            wide = value.view(bits).astype(np.uint64, copy=False)
            return wide + offset if operand.offset else wide

        return read

    # --- writing ---------------------------------------------------------------------------------

    def write(self, operand: Operand, kind: str, instruction: Instruction) -> Write:
        """What writes values of a PTX type into the operand, for the lanes of the mask."""
        if operand == Register("_"):
            return lambda batch, value: None
        if not isinstance(operand, Register):
            raise unknown(self.kernel, instruction, f": it cannot write to {operand}")
        number = self.number[operand.name]
        size = self.type_of(operand).itemsize
        dtype = TYPES[kind]
        kept = operand.name in self.kept or instruction.predicate is not None

        def write(batch: Batch, value: Value) -> None:
            batch.put(number, value)

        def replace(batch: Batch, value: Value) -> None:
            batch.registers[number] = value

        plain = write if kept else replace
        if dtype.itemsize == size:
            return plain
        wide = np.dtype(f"{'i' if dtype.kind == 'i' else 'u'}{size}")
        bits = np.dtype(f"{wide.kind}{dtype.itemsize}")
        return lambda batch, value: plain(batch, value.view(bits).astype(wide))

    def items(self, operand: Operand) -> tuple[Operand, ...]:
        """The elements of a vector; of anything else, itself."""
        return operand.items if isinstance(operand, Vector) else (operand,)


def _special(name: str, dtype: np.dtype) -> Read:
    def read(batch: Batch) -> Value:
        value = batch.special(name)
        return value if value.dtype == dtype else value.astype(dtype)

    return read
