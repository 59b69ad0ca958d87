"""A function as the parser collects it, before it becomes a kernel or part of one."""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace

from .instruction import Instruction
from .program import Variable


@dataclass(frozen=True)
class Slot:
    """A parameter or a result: of a kernel, of a function, or what a caller puts it into."""

    name: str
    type: str
    size: int
    alignment: int


@dataclass
class Function:
    """The body of an .entry or a .func; one that is only declared is never opened, and not kept."""

    name: str
    is_kernel: bool
    parameters: list[Slot]
    results: list[Slot]
    registers: dict[str, str] = field(default_factory=dict)
    instructions: list[Instruction] = field(default_factory=list)
    labels: dict[str, int] = field(default_factory=dict)
    variables: dict[str, Variable] = field(default_factory=dict)
    slots: dict[str, Slot] = field(default_factory=dict)
    most_threads: int = 0

    def name_places(self, files: Mapping[str, str]) -> None:
        """Put the names of files in the place of their numbers, which .file explains at the end."""
        self.instructions = [
            replace(each, file=files.get(each.file, "")) if each.file else each
            for each in self.instructions
        ]
