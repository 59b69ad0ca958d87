"""SASS, the machine code of NVIDIA's GPUs, as rows: what nvdisasm writes of what ptxas made."""

from __future__ import annotations

import re

from ..facts import Form, Kind
from .lines import Line, Part, form_of, number_labels
from .names import file_name
from .notes_sass import note

TITLE = "machine code (SASS)"

_SECTION = re.compile(r"\s*\.section\s+\.text\.(\w+)")
_PLACE = re.compile(r'\s*//## File "([^"]*)", line (\d+)')
_LABEL = re.compile(r"(\.L_x_\d+):")
_INSTRUCTION = re.compile(r"\s*/\*[0-9a-f]+\*/\s+(@!?U?P\d\s+)?([A-Z][\w.]*)\s*(.*?)\s*;")
_TARGET = re.compile(r"`\((\.L_x_\d+)\)")
_MULTIPLY_ADD = ("FFMA", "DFMA", "HFMA2", "HMMA", "IMMA", "DMMA", "FFMA2")
_MEMORY = ("LDG", "STG", "LDS", "STS", "LD", "ST", "ATOM", "ATOMG", "ATOMS", "RED", "LDGSTS",
           "LDSM", "LDL", "STL", "LDC", "UBLKCP")  # fmt: skip
_BRANCH = ("BRA", "EXIT", "RET", "BRX", "JMP", "BAR", "BSSY", "BSYNC", "WARPSYNC", "YIELD", "BREAK")
_COMPARE = ("ISETP", "FSETP", "DSETP", "PSETP", "PLOP3", "UISETP")
_ADDRESS = ("IADD", "IADD3", "IMAD", "LEA", "SHF", "LOP3", "MOV", "S2R", "ULDC", "UMOV", "UIADD3",
            "UIMAD", "ULEA", "USHF", "ULOP3", "CS2R", "IABS", "SEL", "IMNMX", "PRMT", "S2UR",
            "UIADD", "R2UR", "VIADD")  # fmt: skip


def form(text: str, title: str = TITLE) -> Form:
    """The functions of what nvdisasm wrote, with its comments that name lines (-g)."""
    parts: list[Part] = []
    place, is_new = ("", 0), True
    for row in text.splitlines():
        section = _SECTION.match(row)
        if section:
            parts.append(Part(section[1], []))
            place = ("", 0)
            continue
        if not parts:
            continue
        told, label, found = _PLACE.match(row), _LABEL.match(row), _INSTRUCTION.match(row)
        if told and is_new:  # those that follow are the callers of what was inlined
            place, is_new = (file_name(told[1]), int(told[2])), False
        elif label:
            parts[-1].lines.append(Line(row, "label", label=label[1]))
        elif found:
            is_new = True
            parts[-1].lines.append(_line((found[1] or "").strip(), found[2], found[3], place))
    for part in parts:
        _drop_padding(part.lines)
        number_labels(part.lines)
    return form_of(title, [part for part in parts if part.lines])


def _line(condition: str, mnemonic: str, operands: str, place: tuple[str, int]) -> Line:
    target = _TARGET.search(operands)
    root = mnemonic.partition(".")[0]
    text = " ".join(f"{condition} {mnemonic} {operands}".split())
    line = Line(_TARGET.sub(r"\1", text), file=place[0], line=place[1])
    line.note = note(mnemonic, operands, condition)
    line.is_multiply_add = root in _MULTIPLY_ADD and "RZ, RZ" not in operands
    line.is_memory = root in _MEMORY
    line.is_stack = root in ("LDL", "STL")
    line.is_vector = root in ("HMMA", "IMMA", "DMMA", "HFMA2", "FFMA2") or (
        line.is_memory and bool(re.search(r"\.(64|128)\b", mnemonic))
    )
    if target and root != "BSSY":
        line.targets = (target[1],)
    if root in ("BRA", "EXIT", "RET", "BRX", "JMP"):
        line.falls = bool(condition) or "," in operands  # `BRA P0, place` has its own condition
    line.kind = _kind(line, root)
    return line


def _kind(line: Line, root: str) -> Kind:
    if root in _BRANCH or root in _COMPARE:
        return "branch"
    if root == "CALL":
        return "call"
    if line.is_multiply_add:
        return "multiply-add"
    if line.is_stack:
        return "stack"
    if line.is_memory:
        return "memory"
    return "address" if root in _ADDRESS else "other"


def _drop_padding(lines: list[Line]) -> None:
    """Without what follows the last jump: an endless loop and nothing, which fill a block."""
    while lines and (lines[-1].label or lines[-1].text == "NOP"):
        lines.pop()
    if len(lines) > 1 and lines[-1].targets == (lines[-2].label,):
        lines.pop()
        lines.pop()
