"""A kernel as steps: for each block a list of functions of a batch, and how threads leave it."""

from collections.abc import Callable
from dataclasses import dataclass
from weakref import WeakKeyDictionary

import numpy as np

from ..instruction import Instruction, Symbol
from ..layout import is_barrier
from ..program import Block, Kernel
from . import atomics, carry, tensor, transfer, warp
from .batch import Batch
from .functions import plain
from .operands import Operands, Read, Step, unknown
from .print import call

BUILDERS: dict[str, Callable[[Operands, Instruction], Step]] = {
    **transfer.BUILDERS,
    **atomics.BUILDERS,
    **warp.BUILDERS,
    **tensor.BUILDERS,
    "call": call,
}


@dataclass(frozen=True)
class Leave:
    """How threads leave a block: all, or those for which `predicate` holds, to `target`.

    kind    "fall" to the next block, "branch" to the block `target`, "end", "barrier" to the next
    barrier, threads    which barrier, and for how many threads; None: all of the block
    """

    kind: str
    at: int
    predicate: Read | None = None
    target: int = 0
    barrier: Read | None = None
    threads: Read | None = None


@dataclass(frozen=True)
class Code:
    """A block of a kernel, decoded: (index of the instruction, step) one after the other."""

    steps: tuple[tuple[int, Step], ...]
    leave: Leave


@dataclass(frozen=True)
class Program:
    """A kernel, decoded."""

    blocks: tuple[Code, ...]
    registers: int
    undefined: tuple[tuple[int, np.ndarray], ...]


_known: WeakKeyDictionary[Kernel, Program] = WeakKeyDictionary()


def decode(kernel: Kernel) -> Program:
    """The steps of a kernel, which are made once. Raises KernelError for what is not known."""
    if kernel not in _known:
        operands = Operands(kernel)
        blocks = tuple(_block(operands, block) for block in kernel.blocks)
        _known[kernel] = Program(blocks, len(operands.number), tuple(operands.undefined))
    return _known[kernel]


def _block(operands: Operands, block: Block) -> Code:
    instructions = operands.kernel.instructions
    last = block.stop - 1
    leave = _leave(operands, instructions[last], last)
    stop = block.stop if leave.kind == "fall" else last
    steps = [(at, _step(operands, instructions[at])) for at in range(block.start, stop)]
    return Code(tuple(steps), leave)


def _leave(operands: Operands, last: Instruction, at: int) -> Leave:
    predicate = None
    if last.predicate:
        predicate = operands.read(last.predicate, "pred")
        if last.negated:
            holds = predicate
            predicate = lambda batch: ~holds(batch)  # noqa: E731
    if last.opcode == "bra":
        label = last.operands[0]
        assert isinstance(label, Symbol)
        return Leave("branch", at, predicate, operands.kernel.block_of_label[label.name])
    if last.opcode in ("ret", "exit"):
        return Leave("end", at, predicate)
    if last.opcode in ("trap", "brkpt"):
        return Leave("trap", at, predicate)
    if is_barrier(last):
        if last.has("red"):
            raise unknown(operands.kernel, last)
        numbers = [operands.read(each, "u32") for each in last.operands]
        barrier = numbers[0] if numbers else None
        return Leave("barrier", at, predicate, 0, barrier, numbers[1] if numbers[1:] else None)
    if last.opcode == "brx":
        raise unknown(operands.kernel, last)
    return Leave("fall", at)


def _step(operands: Operands, instruction: Instruction) -> Step:
    """The function of a batch that an instruction is."""
    step = _unguarded(operands, instruction)
    if instruction.predicate is None:
        return step
    holds, negated = operands.read(instruction.predicate, "pred"), instruction.negated

    def guarded(batch: Batch) -> None:
        predicate = holds(batch)
        mask = batch.narrowed(~predicate if negated else predicate)
        if mask is batch.mask:
            step(batch)
        elif mask:
            with batch.only(mask):
                step(batch)

    return guarded


def _unguarded(operands: Operands, instruction: Instruction) -> Step:
    kernel = operands.kernel
    try:
        if instruction.opcode in ("bar", "barrier") and instruction.has("warp"):
            return warp.sync(operands, instruction)
        if carry.uses_carry(instruction):
            return carry.build(operands, instruction)
        build = BUILDERS.get(instruction.opcode)
        if build:
            return build(operands, instruction)
        return _plain(operands, instruction)
    except (ValueError, KeyError, IndexError, AssertionError, StopIteration) as error:
        raise unknown(kernel, instruction) from error


def _plain(operands: Operands, instruction: Instruction) -> Step:
    """A function of numbers: reads, the operation, a write."""
    known = plain(instruction)
    if known is None:
        raise unknown(operands.kernel, instruction)
    operation, takes, gives = known
    reads = [
        operands.read(each, kind)
        for each, kind in zip(instruction.operands[1:], takes, strict=True)
    ]
    results = operands.items(instruction.operands[0])
    write = operands.write(results[0], gives, instruction)
    if len(results) == 2:  # setp p|q: the second is the opposite
        opposite = operands.write(results[1], gives, instruction)

        def both(batch: Batch) -> None:
            value = operation(*(read(batch) for read in reads))
            write(batch, value)
            opposite(batch, ~value)

        return both
    if len(reads) == 1:
        (one,) = reads
        return lambda batch: write(batch, operation(one(batch)))
    if len(reads) == 2:
        one, two = reads
        return lambda batch: write(batch, operation(one(batch), two(batch)))
    return lambda batch: write(batch, operation(*(read(batch) for read in reads)))
