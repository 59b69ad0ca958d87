"""Instructions that are functions: what is common to them."""

from collections.abc import Callable
from typing import NamedTuple

from ..instruction import Instruction
from .lanes import Value

Operation = Callable[..., Value]


class Plain(NamedTuple):
    """An instruction as a function: types of the operands, type of the result."""

    operation: Operation
    takes: tuple[str, ...]
    gives: str


# Of an instruction the function, whose operands and result have its type, or all of it, or None if
# it is not known.
Maker = Callable[[Instruction], Operation | Plain | None]


def always(operation: Operation) -> Maker:
    """Of each instruction of an opcode the same function."""
    return lambda instruction: operation
