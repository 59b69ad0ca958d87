"""Instructions that move: between registers, between registers and memory, and cp.async."""

from collections.abc import Callable

import numpy as np

from ..instruction import (
    LOCAL_WINDOW,
    SHARED_WINDOW,
    TYPES,
    Address,
    Immediate,
    Instruction,
    Operand,
    Register,
    Symbol,
    Vector,
)
from .batch import WINDOW_SHIFT, Batch
from .copies import WORD
from .lanes import Value
from .operands import Operands, Step, unknown
from .window import READ, WRITE

_WINDOWS = {"shared": SHARED_WINDOW, "local": LOCAL_WINDOW}


def move(operands: Operands, instruction: Instruction) -> Step:
    """mov, which also takes 64 bits apart and puts them together."""
    target, source = instruction.operands
    if instruction.has("each"):  # of several parameters of a call
        assert isinstance(target, Vector) and isinstance(source, Vector)
        steps = [
            _copy(operands, instruction, *pair)
            for pair in zip(target.items, source.items, strict=True)
        ]
        return lambda batch: _all(steps, batch)
    if isinstance(target, Vector):
        return _unpack(operands, instruction, target, source)
    if isinstance(source, Vector):
        return _pack(operands, instruction, target, source)
    return _copy(operands, instruction, target, source)


def _all(steps: list[Step], batch: Batch) -> None:
    for step in steps:
        step(batch)


def _copy(operands: Operands, instruction: Instruction, target: Operand, source: Operand) -> Step:
    kind = instruction.type
    read = operands.read(source, kind)
    write = operands.write(target, kind, instruction)
    return lambda batch: write(batch, read(batch))


def _part(instruction: Instruction, items: int) -> str:
    return f"b{8 * TYPES[instruction.type].itemsize // items}"


def _unpack(operands: Operands, instruction: Instruction, target: Vector, source: Operand) -> Step:
    part = _part(instruction, len(target.items))
    read = operands.read(source, instruction.type)
    writes = [operands.write(each, part, instruction) for each in target.items]

    def step(batch: Batch) -> None:
        parts = np.ascontiguousarray(read(batch)).view(TYPES[part]).reshape(-1, len(writes))
        for index, write in enumerate(writes):
            write(batch, np.ascontiguousarray(parts[:, index]))

    return step


def _pack(operands: Operands, instruction: Instruction, target: Operand, source: Vector) -> Step:
    part = _part(instruction, len(source.items))
    reads = [operands.read(each, part) for each in source.items]
    write = operands.write(target, instruction.type, instruction)

    def step(batch: Batch) -> None:
        parts = np.stack(np.broadcast_arrays(*(read(batch) for read in reads)), axis=1)
        write(batch, parts.reshape(-1).view(TYPES[instruction.type]))

    return step


def convert_address(operands: Operands, instruction: Instruction) -> Step:
    """cvta: between an address in a space and a generic one."""
    kind = instruction.type
    window = np.array([_WINDOWS.get(instruction.space, 0)], np.uint64)
    read = operands.read(instruction.operands[1], "u64" if kind.endswith("64") else "u32")
    write = operands.write(instruction.operands[0], kind, instruction)
    if instruction.has("to"):
        return lambda batch: write(batch, read(batch) - window)
    return lambda batch: write(batch, read(batch) + window)


def is_space(operands: Operands, instruction: Instruction) -> Step:
    """isspacep: whether a generic address lies in a space."""
    number = _WINDOWS.get(instruction.space, 0) >> int(WINDOW_SHIFT)
    read = operands.read(instruction.operands[1], "u64")
    write = operands.write(instruction.operands[0], "pred", instruction)
    return lambda batch: write(batch, read(batch) >> WINDOW_SHIFT == number)


# --- memory --------------------------------------------------------------------------------------


def load(operands: Operands, instruction: Instruction) -> Step:
    """ld, of one number or several."""
    target, address = instruction.operands[:2]
    kind, space = instruction.type, instruction.space
    dtype = TYPES[kind]
    writes = [operands.write(each, kind, instruction) for each in operands.items(target)]
    if space == "param":
        return _load_parameter(operands, instruction, writes)
    if space == "generic" and isinstance(address, Address) and isinstance(address.base, Symbol):
        space = _space_of(operands, address.base.name)
    read = operands.address(address)

    def step(batch: Batch) -> None:
        parts = batch.locate(space, read(batch), dtype, len(writes), READ)
        for offset, write in enumerate(writes):
            write(batch, batch.gather(parts, offset))

    return step


def _space_of(operands: Operands, name: str) -> str:
    """The space of a variable that an instruction without one names."""
    if name in operands.kernel.shared:
        return "shared"
    return "local" if name in operands.kernel.local else "global"


def _load_parameter(
    operands: Operands, instruction: Instruction, writes: list[Callable[[Batch, Value], None]]
) -> Step:
    address, dtype = instruction.operands[1], TYPES[instruction.type]
    assert isinstance(address, Address)
    known = {each.name: each for each in operands.kernel.parameters}
    if not isinstance(address.base, Symbol) or address.base.name not in known:
        raise unknown(operands.kernel, instruction)
    begin = known[address.base.name].offset + address.offset

    def step(batch: Batch) -> None:
        found = np.frombuffer(batch.launch.arguments, dtype, len(writes), begin)
        for offset, write in enumerate(writes):
            write(batch, found[offset : offset + 1])

    return step


def store(operands: Operands, instruction: Instruction) -> Step:
    """st, of one number or several."""
    address, source = instruction.operands
    kind, space = instruction.type, instruction.space
    dtype = TYPES[kind]
    reads = [operands.read(each, kind) for each in operands.items(source)]
    if space == "generic" and isinstance(address, Address) and isinstance(address.base, Symbol):
        space = _space_of(operands, address.base.name)
    if space == "param":
        raise unknown(operands.kernel, instruction)
    read = operands.address(address)

    def step(batch: Batch) -> None:
        places = read(batch)
        parts = batch.locate(space, places, dtype, len(reads), WRITE)
        for offset, value in enumerate(reads):
            batch.scatter(parts, offset, value(batch), places)

    return step


def copy_async(operands: Operands, instruction: Instruction) -> Step:
    """cp.async and its waits."""
    if instruction.has("commit_group"):
        return lambda batch: batch.shared.copies.commit(batch.mask)
    if instruction.has("wait_all"):
        return lambda batch: batch.shared.wait(None)
    if instruction.has("wait_group"):
        left = instruction.operands[0]
        assert isinstance(left, Immediate)
        return lambda batch: batch.shared.wait(left.bits)
    if not instruction.has("async") or instruction.has("bulk") or instruction.has("mbarrier"):
        raise unknown(operands.kernel, instruction)
    target, source = (operands.address(each) for each in instruction.operands[:2])
    size = instruction.operands[2]
    assert isinstance(size, Immediate)
    given = operands.read(instruction.operands[-1], "u32")
    last = instruction.operands[-1]
    if isinstance(last, Register) and operands.type_of(last) == np.bool_:  # ignore-src
        ignore = operands.read(last, "pred")
        given = lambda batch: np.where(ignore(batch), 0, size.bits)  # noqa: E731
    return lambda batch: _issue(batch, target(batch), source(batch), size.bits, given(batch))


def _issue(batch: Batch, target: Value, source: Value, size: int, given: Value) -> None:
    """Note a copy of `size` bytes, of which the first `given` come from the source."""
    words, at = size // WORD.itemsize, batch.active(target)
    reach = int(at.min()), int(at.max()) + size
    (place,) = batch.locate("shared", target, WORD, words, WRITE)
    targets = np.zeros(batch.lanes, np.intp)
    targets[batch.mask.index] = place.index
    given = np.broadcast_to(given.astype(np.int64), batch.lanes)
    issue = batch.shared.copies.issue
    nothing_given = batch.mask.index[given[batch.mask.index] == 0]
    if nothing_given.size:
        zeros = np.zeros(1, WORD), np.zeros(1, np.intp)
        issue(nothing_given, targets[nothing_given], zeros, given[nothing_given], words, reach)
    taking = batch.narrowed(given > 0)
    if taking:
        with batch.only(taking):
            for part in batch.locate("global", source, WORD, words, READ):
                lanes = part.mask.index
                issue(lanes, targets[lanes], (part.view, part.index), given[lanes], words, reach)


def nothing(operands: Operands, instruction: Instruction) -> Step:
    """Fences and hints: memory here is always in order."""
    return lambda batch: None


BUILDERS: dict[str, Callable[[Operands, Instruction], Step]] = {
    "mov": move,
    "cvta": convert_address,
    "isspacep": is_space,
    "ld": load,
    "ldu": load,
    "st": store,
    "cp": copy_async,
    "membar": nothing,
    "fence": nothing,
    "nanosleep": nothing,
    "prefetch": nothing,
    "prefetchu": nothing,
}
