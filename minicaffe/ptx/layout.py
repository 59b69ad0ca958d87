"""A function becomes a kernel: variables get their places, instructions become basic blocks."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from itertools import pairwise

from .function import Function
from .instruction import Address, Instruction, Operand, Symbol, Vector
from .program import Block, Kernel, Parameter, Variable

_DYNAMIC_ALIGNMENT = 16
_WITH_ADDRESS = ("global", "const")
_LEAVES = frozenset({"bra", "ret", "exit", "trap", "brx"})


def kernel_of(function: Function, module_variables: Mapping[str, Variable], text: str) -> Kernel:
    """The kernel of a function in which all calls are inlined; `text` is the module's."""
    used = set(_symbols(function.instructions))
    variables = {name: each for name, each in module_variables.items() if name in used}
    variables |= function.variables
    shared, dynamic = _placed(variables.values(), "shared")
    dynamic = _round_up(dynamic, _DYNAMIC_ALIGNMENT) if _any_dynamic(shared) else dynamic
    local, local_bytes = _placed(variables.values(), "local")
    return Kernel(
        name=function.name,
        parameters=_parameters(function),
        registers=function.registers,
        instructions=tuple(function.instructions),
        labels=function.labels,
        blocks=_blocks(function.instructions, function.labels),
        shared={
            name: each if each.size else replace(each, offset=dynamic)
            for name, each in shared.items()
        },
        local=local,
        globals={name: each for name, each in variables.items() if each.space in _WITH_ADDRESS},
        shared_bytes=dynamic,
        dynamic_shared=dynamic,
        local_bytes=_round_up(local_bytes, 16),
        most_threads=function.most_threads,
        text=text,
    )


def _any_dynamic(shared: Mapping[str, Variable]) -> bool:
    return any(not each.size for each in shared.values())


def _round_up(size: int, alignment: int) -> int:
    return -(-size // alignment) * alignment


def _symbols(instructions: Iterable[Instruction]) -> Iterable[str]:
    """The names of all variables, labels and functions in instructions."""
    waiting: list[Operand | None] = [
        each for instruction in instructions for each in instruction.operands
    ]
    while waiting:
        match waiting.pop():
            case Symbol(name):
                yield name
            case Address(base):
                waiting.append(base)
            case Vector(items):
                waiting += items


def _placed(variables: Iterable[Variable], space: str) -> tuple[dict[str, Variable], int]:
    """The variables of a space, one after the other, and where the last one ends."""
    placed, end = {}, 0
    for variable in variables:
        if variable.space == space:
            begin = _round_up(end, variable.alignment)
            placed[variable.name] = replace(variable, offset=begin)
            end = begin + variable.size
    return placed, end


def _parameters(function: Function) -> tuple[Parameter, ...]:
    placed, end = [], 0
    for slot in function.parameters:
        begin = _round_up(end, slot.alignment)
        placed.append(Parameter(slot.name, slot.type, slot.size, slot.alignment, begin))
        end = begin + slot.size
    return tuple(placed)


# --- basic blocks --------------------------------------------------------------------------------


def _blocks(instructions: Sequence[Instruction], labels: Mapping[str, int]) -> tuple[Block, ...]:
    cuts = {0, len(instructions), *labels.values()}
    for at, instruction in enumerate(instructions):
        if instruction.opcode in _LEAVES or is_barrier(instruction):
            cuts.add(at + 1)
    edges = sorted(cuts)
    ranges = list(pairwise(edges))
    number = {start: index for index, (start, _) in enumerate(ranges)}
    successors = [_successors(instructions[stop - 1], stop, number, labels) for _, stop in ranges]
    live = _live(instructions, ranges, successors)
    after = _postdominators(successors)
    return tuple(
        Block(index, start, stop, successors[index], live[index], after[index])
        for index, (start, stop) in enumerate(ranges)
    )


def is_barrier(instruction: Instruction) -> bool:
    """Whether threads wait here for others of their block."""
    waits = instruction.opcode in ("bar", "barrier") and "arrive" not in instruction.modifiers
    return waits and "warp" not in instruction.modifiers


def _successors(
    last: Instruction, stop: int, number: Mapping[int, int], labels: Mapping[str, int]
) -> tuple[int, ...]:
    """Where the block that ends in this instruction, before `stop`, may lead; not to the end."""
    places = []
    if last.opcode == "bra" and isinstance(last.operands[0], Symbol):
        places.append(labels[last.operands[0].name])
    if last.opcode not in _LEAVES or last.predicate:
        places.append(stop)
    return tuple(number[place] for place in places if place in number)


def _live(
    instructions: Sequence[Instruction],
    ranges: Sequence[tuple[int, int]],
    successors: Sequence[tuple[int, ...]],
) -> list[frozenset[str]]:
    """For each block the registers that are read from its start on before they are written."""
    used: list[set[str]] = []
    written: list[set[str]] = []
    for start, stop in ranges:
        uses: set[str] = set()
        kills: set[str] = set()
        for instruction in instructions[start:stop]:
            uses.update(name for name in instruction.reads if name not in kills)
            if instruction.predicate:  # where it is false, the old value stays
                uses.update(name for name in instruction.writes if name not in kills)
            kills.update(instruction.writes)
        used.append(uses)
        written.append(kills)
    live = [set(each) for each in used]
    changed = True
    while changed:
        changed = False
        for index in reversed(range(len(ranges))):
            after = set().union(*(live[other] for other in successors[index]))
            new = used[index] | (after - written[index])
            if new != live[index]:
                live[index], changed = new, True
    return [frozenset(each) for each in live]


def _postdominators(successors: Sequence[tuple[int, ...]]) -> list[int | None]:
    """For each block the first through which all ways from it to the end lead; None: the end."""
    end = len(successors)
    ways = [frozenset(each) or frozenset({end}) for each in successors]
    after: list[frozenset[int]] = [frozenset(range(end + 1))] * end + [frozenset({end})]
    changed = True
    while changed:
        changed = False
        for index in reversed(range(end)):
            new = frozenset.intersection(*(after[other] for other in ways[index])) | {index}
            if new != after[index]:
                after[index], changed = new, True
    # The nearest is the one after which the fewest, of those that come after this block, follow.
    nearest = [
        max(after[index] - {index}, key=lambda other: len(after[other]), default=end)
        for index in range(end)
    ]
    return [None if block == end else block for block in nearest]
