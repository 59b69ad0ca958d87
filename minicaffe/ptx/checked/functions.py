"""Instructions that are functions: numbers in, numbers out, each lane for itself."""

import numpy as np

from ..instruction import TYPES, Instruction
from . import arithmetic, floats, logic
from .lanes import Value
from .operation import Operation, Plain

_MAKERS = arithmetic.MAKERS | logic.MAKERS


def plain(instruction: Instruction) -> Plain | None:
    """The function that an instruction is; None if it is none, or not known."""
    make = _MAKERS.get(instruction.opcode)
    made = make(instruction) if make else None
    if made is None:
        return None
    if isinstance(made, Plain):
        operation, takes, gives = made
    else:
        kind = instruction.type
        operation, takes, gives = made, (kind,) * (len(instruction.operands) - 1), kind
    if instruction.has("sat") and TYPES[gives].kind == "f" and instruction.opcode != "cvt":
        operation = _then(floats.saturate, operation)
    if instruction.has("ftz") and instruction.opcode != "cvt":
        operation = _flushing(operation, gives == "f32")
    return Plain(operation, takes, gives)


def _then(last: Operation, first: Operation) -> Operation:
    return lambda *values: last(first(*values))


def _flushing(operation: Operation, result: bool) -> Operation:
    def flushed(*values: Value) -> Value:
        inputs = (floats.flush(each) if each.dtype == np.float32 else each for each in values)
        value = operation(*inputs)
        return floats.flush(value) if result else value

    return flushed
