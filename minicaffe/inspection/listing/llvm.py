"""LLVM's intermediate code as rows: what the compiler's optimiser leaves for its code generator."""

from __future__ import annotations

import re
from collections.abc import Mapping
from functools import cache

from ..facts import Form, Kind
from .lines import Line, Part, drop_labels, form_of
from .names import file_name, symbol_name
from .notes_llvm import note

TITLE = "LLVM IR"

_DEFINE = re.compile(r'define\b.*?@("[^"]+"|[\w.$]+)\(')
_LABEL = re.compile(r'("[^"]+"|[\w.$-]+):')
_PLACE = re.compile(r"!dbg !(\d+)")
_NODE = re.compile(r"!(\d+) = (?:distinct )?!(DI\w+)\((.*)\)")
_ATTACHED = re.compile(r",\s+!(?:dbg|tbaa|prof|llvm\.loop|alias\.scope|noalias|range|nonnull) !\d+")
_SYMBOL = re.compile(r'@("[^"]+"|[\w.$]+)')
_BRANCHES = ("br", "switch", "ret", "unreachable", "indirectbr", "invoke")
_TO = re.compile(r'label %("[^"]+"|[\w.$-]+)')
_INTEGER = re.compile(
    r"(?:add|sub|mul|shl|lshr|ashr|and|or|xor|sext|zext|trunc|icmp|udiv|sdiv|urem|srem|ptrtoint|"
    r"inttoptr|getelementptr|bitcast)"
)


def form(text: str, entry: str) -> Form:
    """The function of a symbol, with all that it calls, of a module's text."""
    places = _Places(text)
    bodies = _bodies(text)
    parts = []
    for symbol in _reached(bodies, entry):
        lines = [_line(row, places) for row in bodies[symbol] if row.strip()]
        drop_labels(lines)
        parts.append(Part(symbol_name(symbol), lines))
    return form_of(TITLE, parts)


def _bodies(text: str) -> dict[str, list[str]]:
    """The rows of each function that a module defines; a row that goes on in the next is joined."""
    bodies: dict[str, list[str]] = {}
    body: list[str] | None = None
    for row in text.splitlines():
        found = _DEFINE.match(row)
        if found:
            body = bodies[found[1]] = []
        elif row.startswith("}"):
            body = None
        elif body is not None:
            if body and body[-1].count("[") > body[-1].count("]"):  # the cases of a switch
                body[-1] = f"{body[-1]} {row.strip()}"
            else:
                body.append(row)
    return bodies


def _reached(bodies: Mapping[str, list[str]], entry: str) -> list[str]:
    found: list[str] = []
    waiting = [entry]
    while waiting:
        symbol = waiting.pop(0)
        if symbol in bodies and symbol not in found:
            found.append(symbol)
            waiting += (name for row in bodies[symbol] for name in _SYMBOL.findall(row))
    return found


class _Places:
    """File and line of a location's number."""

    def __init__(self, text: str) -> None:
        nodes = {found[1]: (found[2], found[3]) for found in map(_NODE.match, text.splitlines())
                 if found}  # fmt: skip

        @cache
        def file_of(scope: str) -> str:
            kind, inside = nodes.get(scope, ("", ""))
            if kind == "DIFile":
                name, folder = (_text(inside, word) for word in ("filename", "directory"))
                return file_name(f"{folder}/{name}" if folder else name)
            up = re.search(r"\bfile: !(\d+)", inside) or re.search(r"\bscope: !(\d+)", inside)
            return file_of(up[1]) if up else ""

        @cache
        def place(number: str) -> tuple[str, int]:
            _, inside = nodes.get(number, ("", ""))
            line, scope = re.search(r"line: (\d+)", inside), re.search(r"scope: !(\d+)", inside)
            if not line or not scope or line[1] == "0":
                return "", 0
            return file_of(scope[1]), int(line[1])

        self.place = place


def _text(inside: str, word: str) -> str:
    found = re.search(rf'{word}: "([^"]*)"', inside)
    return found[1] if found else ""


def _line(row: str, places: _Places) -> Line:
    label = _LABEL.match(row)
    if label:
        return Line(f"{label[1]}:", "label", label=label[1])
    told = _PLACE.search(row)
    file, number = places.place(told[1]) if told else ("", 0)
    text = _ATTACHED.sub("", row.strip())
    text = re.sub(r"\s+;.*$|, align \d+$|\s+#\d+$", "", text)
    text = _SYMBOL.sub(lambda found: f"@{symbol_name(found[1])}", text)
    line = Line(text, file=file, line=number)
    words = text.partition(" = ")[2] or text
    root = re.sub(r"^(?:tail|musttail|notail) ", "", words).split(" ")[0]
    if root in _BRANCHES:
        line.targets = tuple(dict.fromkeys(_TO.findall(text)))
        line.falls = False
    line.is_vector = bool(re.search(r"<\d+ x (?:float|double|i\d+|ptr)>", words))
    line.is_multiply_add = bool(re.search(r"@llvm\.(?:fma|fmuladd)\.", words))
    moves = re.search(r"@llvm\.(?:masked|mem)", words)
    line.is_memory = root in ("load", "store", "cmpxchg", "atomicrmw") or bool(moves)
    line.kind = _kind(line, root, words)
    line.note = note(root, words)
    return line


def _kind(line: Line, root: str, words: str) -> Kind:
    if root in _BRANCHES:
        return "branch"
    if line.is_multiply_add:
        return "multiply-add"
    if root == "alloca":
        return "stack"
    if line.is_memory:
        return "memory"
    if root == "call" and "@llvm." not in words and "asm" not in words:
        return "call"
    if line.is_vector:
        return "vector"
    is_integer = _INTEGER.fullmatch(root) or (
        root == "phi" and re.match(r"phi (?:i\d+|ptr)", words)
    )
    return "address" if is_integer else "other"
