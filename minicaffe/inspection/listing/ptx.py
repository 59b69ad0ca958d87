"""PTX, the assembly that NVIDIA's compiler takes, as rows: what the GPU and the emulators run."""

from __future__ import annotations

import re

from ..facts import Form, Kind
from .lines import Line, Part, form_of, number_labels
from .names import file_name
from .notes_ptx import note

TITLE = "PTX"

_LOC = re.compile(r"\.loc\s+(\d+)\s+(\d+)\s+\d+")
_FILE = re.compile(r'\.file\s+(\d+)\s+"([^"]*)"')
_HEAD = re.compile(
    r"(?:\.visible\s+|\.weak\s+|\.extern\s+)*\.(?:entry|func)\b.*?([\w$]+)\s*\(?\s*$"
)
_LABEL = re.compile(r"(\$?\w+):$")
_INSTRUCTION = re.compile(r"(@!?%\w+\s+)?([a-z][\w.:]*)\b(.*?);?$")
_MULTIPLY_ADD = ("fma", "mad", "mma")
_WIDE = re.compile(r"\.v[248]\b")
_MEMORY = ("ld", "ldu", "st", "atom", "red", "cp", "prefetch", "prefetchu", "ldmatrix")
_BRANCH = ("bra", "ret", "exit", "brx", "trap", "bar", "barrier")
_INTEGER = re.compile(r"\.(?:wide\.)?[sub](?:16|32|64)\b")
_ADDRESS = ("add", "sub", "mul", "mad", "shl", "shr", "cvta", "and", "or", "xor", "bfe", "mov",
            "cvt", "div", "rem", "min", "max", "selp", "neg", "not", "abs", "bfi", "prmt",
            "shf")  # fmt: skip


def form(text: str, title: str = TITLE) -> Form:
    """The functions of a text, the kernel among them; `missing` where it names no lines."""
    files = {number: file_name(path) for number, path in _FILE.findall(text)}
    parts: list[Part] = []
    place = ("", 0)
    is_body = False
    begun = ""  # of a statement that goes on in the next row
    for raw in text.splitlines():
        row = raw.split("//")[0].strip()
        head = _HEAD.match(row)
        if head:
            parts.append(Part(head[1], []))
            place = ("", 0)
        elif raw.startswith(("{", "}")):
            is_body = bool(parts) and raw.startswith("{")
        elif is_body and _LOC.match(row):
            place = _place(row, files)
        elif is_body and row and not row.startswith("."):
            begun = f"{begun} {row}".strip("{} ")
            if begun.endswith((";", ":")):
                for statement in filter(None, re.split(r";\s*", begun)):
                    _add(parts[-1].lines, statement, place)
                begun = ""
    for part in parts:
        number_labels(part.lines)
    known = any(line.line for part in parts for line in part.lines)
    missing = "" if known else "NVIDIA's compiler could not keep the lines of this kernel"
    return form_of(title, [part for part in parts if part.lines], missing)


def _place(row: str, files: dict[str, str]) -> tuple[str, int]:
    """File and line of a .loc; line 0 is the compiler's own, and of no file."""
    number, line = row.split()[1:3]
    return (files.get(number, "") if line != "0" else "", int(line))


def _add(lines: list[Line], statement: str, place: tuple[str, int]) -> None:
    label = _LABEL.match(statement)
    if label:
        lines.append(Line(statement, "label", label=label[1]))
        return
    found = _INSTRUCTION.match(statement)
    if not found:  # a declaration among inline assembly
        return
    condition, mnemonic, operands = (found[1] or "").strip(), found[2], found[3].strip()
    text = " ".join(f"{condition} {mnemonic} {operands}".split())
    line = Line(text, file=place[0], line=place[1])
    _judge(line, condition, mnemonic, operands)
    line.note = note(mnemonic, operands, condition)
    lines.append(line)


def _judge(line: Line, condition: str, mnemonic: str, operands: str) -> None:
    """What kind of instruction it is, and where it may go."""
    root = mnemonic.partition(".")[0]
    line.is_multiply_add = root == "mma" or (
        root in _MULTIPLY_ADD and mnemonic.endswith(("f32", "f64", "f16"))
    )
    line.is_memory = root in _MEMORY and ".param" not in mnemonic and "_group" not in mnemonic
    line.is_stack = line.is_memory and ".local" in mnemonic
    line.is_vector = bool(_WIDE.search(mnemonic)) or root in ("mma", "wmma")
    if root == "bra":
        line.targets = (operands,)
        line.falls = bool(condition)
    elif root in ("ret", "exit", "trap"):
        line.falls = bool(condition)
    line.kind = _kind(line, root, mnemonic)


def _kind(line: Line, root: str, mnemonic: str) -> Kind:
    if root in _BRANCH or root == "setp":
        return "branch"
    if root == "call":
        return "call"
    if line.is_multiply_add:
        return "multiply-add"
    if line.is_stack:
        return "stack"
    if line.is_memory:
        return "memory"
    is_integer = _INTEGER.search(mnemonic) or root == "cvta"
    return "address" if (root in _ADDRESS and is_integer) or ".param" in mnemonic else "other"
