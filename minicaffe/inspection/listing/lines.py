"""A row on its way: what a parser knows of a line of code, and how functions become a `Form`."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

from ..facts import Form, Function, Kind, Loop, Row
from .loops import Region, find_loops


@dataclass
class Line:
    """A label or an instruction. A label has its name in `label`; all others are instructions.

    `targets` are the labels to which it may jump, `falls` says whether the next row may follow.
    `is_vector` and so on say what it is besides its kind: a product of vectors may read memory.
    """

    text: str
    kind: Kind = "other"
    file: str = ""
    line: int = 0
    note: str = ""
    label: str = ""
    targets: tuple[str, ...] = ()
    falls: bool = True
    is_vector: bool = False
    is_multiply_add: bool = False
    is_memory: bool = False
    is_stack: bool = False


@dataclass
class Part:
    """A function's name and rows."""

    name: str
    lines: list[Line]


def form_of(title: str, parts: Sequence[Part], missing: str = "") -> Form:
    """The functions as a form: the hottest first, the others in their order."""
    found = [(part, find_loops(part.lines)) for part in parts]
    hottest = max(found, key=lambda each: _heat(*each), default=None)
    if hottest is not None:
        found.sort(key=lambda each: each is not hottest)
    rows: list[Row] = []
    functions: list[Function] = []
    loops: list[Loop] = []
    for part, regions in found:
        first, before = len(rows), len(loops)
        within = [-1] * len(part.lines)
        for number, region in enumerate(regions):  # outer ones come first
            for row in region.rows:
                within[row] = before + number
            loops.append(
                Loop(
                    before + number,
                    region.depth,
                    -1 if region.parent < 0 else before + region.parent,
                    first + region.first,
                    first + region.last,
                    counts([part.lines[row] for row in region.rows]),
                )
            )
        rows += (
            Row(line.text, line.file, line.line, line.kind, loop, line.note)
            for line, loop in zip(part.lines, within, strict=True)
        )
        functions.append(Function(part.name, first, len(rows) - 1))
    return Form(title, tuple(rows), tuple(functions), tuple(loops), missing)


def drop_labels(lines: list[Line]) -> None:
    """Keep the labels that something jumps to."""
    wanted = {name for line in lines for name in line.targets}
    lines[:] = [line for line in lines if not line.label or line.label in wanted]


def number_labels(lines: list[Line]) -> None:
    """Keep the labels that something jumps to, as L1, L2 ..."""
    drop_labels(lines)
    found = [line.label for line in lines if line.label]
    numbers = {name: f"L{place}" for place, name in enumerate(found, 1)}
    for line in lines:
        if line.label:
            line.label = numbers[line.label]
            line.text = f"{line.label}:"
        for name in line.targets:
            line.text = re.sub(rf"(?<![\w.$]){re.escape(name)}(?![\w.$])",
                               numbers.get(name, name), line.text)  # fmt: skip
        line.targets = tuple(numbers.get(name, name) for name in line.targets)


def counts(lines: Sequence[Line]) -> dict[str, int]:
    """How many instructions there are, and how many of them do what a reader looks for."""
    found = [line for line in lines if not line.label]
    return {
        "instructions": len(found),
        "vector": sum(line.is_vector for line in found),
        "multiply-add": sum(line.is_multiply_add for line in found),
        "memory": sum(line.is_memory for line in found),
        "stack": sum(line.is_stack for line in found),
    }


def _heat(part: Part, regions: Sequence[Region]) -> tuple[int, ...]:
    """What tells where a kernel spends its time, as far as its text can: products in a loop."""
    inner = [region for number, region in enumerate(regions)
             if all(other.parent != number for other in regions)]  # fmt: skip
    heats = []
    for region in inner:
        found = counts([part.lines[row] for row in region.rows])
        heats.append((found["multiply-add"], found["vector"], region.depth, found["instructions"]))
    return max(heats, default=(0, 0, 0, 0))
