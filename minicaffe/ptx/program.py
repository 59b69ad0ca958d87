"""A PTX program as objects: module, kernel, variables, basic blocks."""

import re
import struct
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property

from .instruction import Instruction


@dataclass(frozen=True)
class Parameter:
    """A parameter of a kernel: `size` bytes at `offset` of the block of arguments."""

    name: str
    type: str
    size: int
    alignment: int
    offset: int


@dataclass(frozen=True, eq=False)
class Variable:
    """A variable with an address; `offset` is its place in shared or local memory.

    `size` 0 stands for shared memory whose size the launch gives. `data` are the first bytes of a
    variable in global or const memory, the others are 0.
    """

    name: str
    space: str
    size: int
    alignment: int
    offset: int = 0
    data: bytes = b""


@dataclass(frozen=True)
class Block:
    """A basic block: instructions start to stop - 1, entered at the first and left at the last.

    A branch, a return or a barrier ends a block. Both engines let the block of the lowest number
    run in which threads wait: this is where threads that went apart meet again.

    successors      where threads may go from here, by number
    live            the registers that are read, here or later, before they are written
    postdominator   the first block through which all ways to the end lead; None: the end itself
    """

    number: int
    start: int
    stop: int
    successors: tuple[int, ...]
    live: frozenset[str]
    postdominator: int | None


@dataclass(frozen=True, eq=False)
class Kernel:
    """A kernel whose calls are put in place, and whose variables have their places.

    registers       name -> PTX type
    shared, local   name -> Variable; `shared_bytes` and `local_bytes` (a thread) in all, and
                    `dynamic_shared` where the shared memory begins whose size the launch gives
    globals         the module's variables in global and const memory, by name
    labels          name -> index of the instruction that follows; `blocks` in the text's order
    most_threads    a block may have, from .maxntid or .reqntid; 0 if the text does not say
    text            the module's
    """

    name: str
    parameters: tuple[Parameter, ...]
    registers: Mapping[str, str]
    instructions: tuple[Instruction, ...]
    labels: Mapping[str, int]
    blocks: tuple[Block, ...]
    shared: Mapping[str, Variable] = field(default_factory=dict)
    local: Mapping[str, Variable] = field(default_factory=dict)
    globals: Mapping[str, Variable] = field(default_factory=dict)
    shared_bytes: int = 0
    dynamic_shared: int = 0
    local_bytes: int = 0
    most_threads: int = 0
    text: str = ""

    @property
    def short_name(self) -> str:
        """The name as its author wrote it: the last part of a mangled one."""
        parts = _mangled_parts(self.name)
        return parts[-1] if parts else self.name

    @cached_property
    def block_of_label(self) -> Mapping[str, int]:
        """label -> number of the block that begins there; len(blocks) for the end of the text."""
        starts = {block.start: block.number for block in self.blocks}
        return {label: starts.get(at, len(self.blocks)) for label, at in self.labels.items()}

    @property
    def parameter_bytes(self) -> int:
        """The size of the block of arguments."""
        last = self.parameters[-1] if self.parameters else None
        return last.offset + last.size if last else 0

    def pack(self, values: Sequence[float | bytes]) -> bytes:
        """The block of arguments for these values, one for each parameter; an address is a number.

        Raises ValueError if there are more or fewer values than parameters.
        """
        if len(values) != len(self.parameters):
            raise ValueError(
                f"kernel {self.short_name} has {len(self.parameters)} parameters,"
                f" {len(values)} values are given"
            )
        packed = bytearray(self.parameter_bytes)
        for parameter, value in zip(self.parameters, values, strict=True):
            stop = parameter.offset + parameter.size
            packed[parameter.offset : stop] = _bytes_of(value, parameter)
        return bytes(packed)


@dataclass(frozen=True, eq=False)
class Module:
    """A text of PTX: kernels by name, variables in global and const memory, target, version."""

    kernels: Mapping[str, Kernel]
    globals: Mapping[str, Variable]
    target: str
    version: str

    @property
    def kernel(self) -> Kernel:
        """The only kernel; ValueError if there are several or none."""
        (kernel,) = self.kernels.values()
        return kernel


def _bytes_of(value: float | bytes, parameter: Parameter) -> bytes:
    if isinstance(value, bytes):
        return value
    if parameter.type in ("f32", "f64"):
        return struct.pack("<f" if parameter.type == "f32" else "<d", value)
    return (int(value) & ((1 << 8 * parameter.size) - 1)).to_bytes(parameter.size, "little")


def _mangled_parts(name: str) -> list[str]:
    """The words of a name as C++ and Numba write it: _ZN7kernels6gemm16B2v1E -> kernels, gemm16."""
    if not (start := re.match(r"_ZN?", name)):
        return []
    at, parts = start.end(), []
    while length := re.match(r"\d+", name[at:]):
        at += length.end()
        parts.append(name[at : at + int(length[0])])
        at += int(length[0])
    return [re.sub(r"_\d+$", "", part) if len(parts) > 1 else part for part in parts]
