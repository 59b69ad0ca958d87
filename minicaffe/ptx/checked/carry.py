"""Additions of long numbers, word by word: add.cc, addc, sub.cc, subc, mad.cc, madc."""

import numpy as np

from ..instruction import TYPES, Instruction
from .batch import Batch
from .integers import multiply_high
from .lanes import Value
from .operands import Operands, Step


def uses_carry(instruction: Instruction) -> bool:
    """Whether an instruction reads or writes the carry."""
    return instruction.has("cc") or instruction.opcode in ("addc", "subc", "madc")


def build(operands: Operands, instruction: Instruction) -> Step:
    """A sum of up to three numbers and the carry, which the next instruction may take on."""
    kind = f"u{instruction.type[1:]}"
    dtype = TYPES[kind]
    reads = [operands.read(each, kind) for each in instruction.operands[1:]]
    write = operands.write(instruction.operands[0], kind, instruction)
    takes_carry, gives_carry = instruction.opcode.endswith("c"), instruction.has("cc")
    subtracts, multiplies = instruction.opcode.startswith("sub"), len(reads) == 3
    high = instruction.has("hi")

    def step(batch: Batch) -> None:
        values = [read(batch) for read in reads]
        if multiplies:
            values = [_product(values[0], values[1], high), values[2]]
        carry = batch.carry.astype(dtype) if takes_carry else np.zeros(1, dtype)
        a, b = values
        if subtracts:
            result = a - b - carry
            out = (a < b) | ((a == b) & (carry != 0))
        else:
            part = a + b
            result = part + carry
            out = (part < a) | (result < part)
        write(batch, result)
        if gives_carry:
            whole = np.broadcast_to(out, batch.lanes)
            batch.carry = np.where(batch.mask.lanes, whole, batch.carry)

    return step


def _product(a: Value, b: Value, high: bool) -> Value:
    return multiply_high(a, b) if high else a * b
