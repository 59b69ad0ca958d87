"""Atomic operations. Threads take their turn in the order of their numbers."""

from collections.abc import Callable, Iterator

import numpy as np

from ..instruction import TYPES, Address, Instruction, Symbol
from .batch import Batch
from .floats import flush
from .lanes import Value
from .operands import Operands, Step, unknown
from .window import ATOMIC

# Of the old value and one or two operands, the new one.
_OPERATIONS: dict[str, Callable[..., Value]] = {
    "add": np.add,
    "min": np.minimum,
    "max": np.maximum,
    "and": np.bitwise_and,
    "or": np.bitwise_or,
    "xor": np.bitwise_xor,
    "exch": lambda old, new: new,
    "cas": lambda old, expected, new: np.where(old == expected, new, old),
    "inc": lambda old, most: np.where(old >= most, old.dtype.type(0), old + old.dtype.type(1)),
    "dec": lambda old, most: np.where((old == 0) | (old > most), most, old - old.dtype.type(1)),
}
# Sums of float32 numbers not below this are 0 or not below 2^-124: no subnormal can come about.
_FAR = 2.0**-100


def atomic(operands: Operands, instruction: Instruction) -> Step:
    """atom and red, which has no result."""
    words, kind = instruction.modifiers, instruction.type
    name = next((word for word in words if word in _OPERATIONS), "")
    known = TYPES[kind].kind != "f" or (name in ("add", "exch") and kind != "f16")
    if not name or not known or any(word.startswith("v") for word in words if word != "volatile"):
        raise unknown(operands.kernel, instruction)
    results = instruction.results
    address, *inputs = instruction.operands[results:]
    read_address = operands.address(address)
    reads = [operands.read(each, kind) for each in inputs]
    target = instruction.operands[0] if results else None
    used = target is not None and getattr(target, "name", "_") in operands.used
    write = operands.write(target, kind, instruction) if target is not None and used else None
    space = instruction.space
    if space == "generic" and isinstance(address, Address) and isinstance(address.base, Symbol):
        space = "shared" if address.base.name in operands.kernel.shared else "global"

    def step(batch: Batch) -> None:
        parts = batch.locate(space, read_address(batch), TYPES[kind], 1, ATOMIC)
        result = np.zeros(batch.lanes, TYPES[kind])
        for part in parts:
            lanes = part.mask.index
            index = np.broadcast_to(part.index, lanes.size)
            given = [batch.whole(read(batch))[lanes] for read in reads]
            flushes = kind == "f32" and name == "add" and part.space != "shared"
            old = _apply(name, part.view, index, given, flushes, write is not None)
            if old is not None:
                result[lanes] = old
        if write:
            write(batch, result)

    return step


def _apply(
    name: str,
    view: np.ndarray,
    index: np.ndarray,
    given: list[np.ndarray],
    flushes: bool,
    wanted: bool,
) -> np.ndarray | None:
    """Change memory at these places, in their order; the old values if they are wanted.

    Sums of float32 in global memory take subnormal numbers as zeros, as PTX has it.
    """
    operation, ufunc = _OPERATIONS[name], _OPERATIONS[name]
    if flushes and _may_be_subnormal(view[index], given[0]):
        operation = _add_flushed
    elif not wanted and isinstance(ufunc, np.ufunc):
        ufunc.at(view, index, given[0])
        return None
    old = np.empty(index.size, view.dtype)
    for turn in _turns(index):
        old[turn] = view[index[turn]]
        view[index[turn]] = operation(old[turn], *(each[turn] for each in given))
    return old


def _may_be_subnormal(*numbers: np.ndarray) -> bool:
    return any(bool(((each != 0) & (np.abs(each) < _FAR)).any()) for each in numbers)


def _add_flushed(old: Value, new: Value) -> Value:
    return flush(flush(old) + flush(new))


def _turns(index: np.ndarray) -> Iterator[np.ndarray]:
    """Sets of lanes with different places: those that come first at theirs, second, and so on."""
    order = np.argsort(index, kind="stable")
    places = index[order]
    first = np.flatnonzero(np.concatenate(([True], places[1:] != places[:-1])))
    turn = np.arange(index.size) - np.repeat(first, np.diff(np.append(first, index.size)))
    by_turn = np.argsort(turn, kind="stable")
    ends = np.cumsum(np.bincount(turn))
    yield from np.split(order[by_turn], ends[:-1])


BUILDERS: dict[str, Callable[[Operands, Instruction], Step]] = {"atom": atomic, "red": atomic}
