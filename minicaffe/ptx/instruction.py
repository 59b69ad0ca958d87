"""A PTX instruction and its operands as objects."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np

# The NumPy type of the values of each PTX type; bits without a type are unsigned.
TYPES: Mapping[str, np.dtype] = {
    name: np.dtype(numpy)
    for name, numpy in {
        "pred": "bool",
        "b8": "uint8", "u8": "uint8", "s8": "int8",
        "b16": "uint16", "u16": "uint16", "s16": "int16", "f16": "float16",
        "b32": "uint32", "u32": "uint32", "s32": "int32", "f32": "float32",
        "b64": "uint64", "u64": "uint64", "s64": "int64", "f64": "float64",
    }.items()
}  # fmt: skip
SPACES = ("global", "shared", "local", "const", "param")

# A generic address says by its uppermost byte in which space it lies; 0 is global memory, where
# an address is one of this process. No address of a process reaches that byte.
SHARED_WINDOW = 1 << 56
LOCAL_WINDOW = 2 << 56

_WITHOUT_RESULT = frozenset(
    {
        "st",
        "bra",
        "red",
        "ret",
        "exit",
        "cp",
        "membar",
        "fence",
        "nanosleep",
        "trap",
        "brkpt",
        "prefetch",
        "prefetchu",
        "pragma",
    }
)


@dataclass(frozen=True, slots=True)
class Register:
    """A virtual register of a kernel; "_" is the one that nobody reads."""

    name: str


@dataclass(frozen=True, slots=True)
class Special:
    """A register that tells a thread who it is: "%tid.x"."""

    name: str


@dataclass(frozen=True, slots=True)
class Immediate:
    """A constant: its bits, and "" for an integer, "f32" or "f64" for what was written as such."""

    bits: int
    kind: str = ""

    def value(self, dtype: np.dtype) -> Any:
        """The constant as a NumPy number of this type."""
        if dtype.kind == "b":
            return np.bool_(self.bits != 0)
        if self.kind and dtype.kind == "f":
            size = int(self.kind[1:]) // 8
            return np.frombuffer(self.bits.to_bytes(size, "little"), f"f{size}").astype(dtype)[0]
        masked = self.bits & ((1 << 8 * dtype.itemsize) - 1)
        return np.frombuffer(masked.to_bytes(dtype.itemsize, "little"), dtype)[0]


@dataclass(frozen=True, slots=True)
class Symbol:
    """The name of a variable, whose value is its address, or of a label or a function."""

    name: str


@dataclass(frozen=True, slots=True)
class Address:
    """[base + offset], of a register, a variable or a parameter; without base an absolute one."""

    base: "Register | Symbol | None"
    offset: int = 0


@dataclass(frozen=True, slots=True)
class Vector:
    """{a, b, ...}, or a|b of instructions with two results."""

    items: "tuple[Operand, ...]"


@dataclass(frozen=True, slots=True)
class Not:
    """!p, a predicate that is read inverted."""

    register: Register


Operand = Register | Special | Immediate | Symbol | Address | Vector | Not


@dataclass(frozen=True)
class Instruction:
    """One instruction: "@!%p1 ld.global.v2.f32 {%f1, %f2}, [%rd3+8];"

    opcode      "ld"            its root
    modifiers   ("global", "v2", "f32")
    operands    (Vector(...), Address(...))
    predicate   Register("%p1"), `negated` True; None where all threads execute it
    line        of the PTX text; `file` and `python_line` from the last .loc ("" and 0: none)
    text        as it was written, on one line
    """

    opcode: str
    modifiers: tuple[str, ...]
    operands: tuple[Operand, ...]
    predicate: Register | None = None
    negated: bool = False
    line: int = 0
    file: str = ""
    python_line: int = 0
    text: str = ""

    @cached_property
    def type(self) -> str:
        """The last type among the modifiers, that of the inputs if there are two; else ""."""
        return next((word for word in reversed(self.modifiers) if word in TYPES), "")

    @cached_property
    def space(self) -> str:
        """The memory space that the modifiers name; "generic" if they name none."""
        words = (word.partition("::")[0] for word in self.modifiers)  # "shared::cta" is shared
        return next((word for word in words if word in SPACES), "generic")

    def has(self, modifier: str) -> bool:
        """Whether the instruction has this modifier."""
        return modifier in self.modifiers

    @property
    def results(self) -> int:
        """How many of the operands, from the first, are written: 0 or 1."""
        barrier = self.opcode in ("bar", "barrier") and "red" not in self.modifiers
        return 0 if barrier or self.opcode in _WITHOUT_RESULT else 1

    @cached_property
    def writes(self) -> tuple[str, ...]:
        """The names of the registers that it writes."""
        written = self.operands[: self.results]
        return tuple(name for each in written for name in register_names(each))

    @cached_property
    def reads(self) -> tuple[str, ...]:
        """The names of the registers that it reads, its predicate among them."""
        read: list[Operand] = [self.predicate] if self.predicate else []
        read += self.operands[self.results :]
        return tuple(name for each in read for name in register_names(each))


def register_names(operand: Operand | None) -> Iterator[str]:
    """The names of the registers that an operand is made of."""
    match operand:
        case Register(name):
            if name != "_":
                yield name
        case Not(register):
            yield register.name
        case Address(base):
            yield from register_names(base)
        case Vector(items):
            for item in items:
                yield from register_names(item)
