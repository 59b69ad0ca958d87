"""Machine code as LLVM writes it, as rows: of x86 in Intel's syntax, and of ARM.

What is shown of a module is a kernel and what it calls. Directives, wrappers for Python, constants
and labels that nothing jumps to are left out; jumps and symbols get short names.
"""

from __future__ import annotations

import re
import struct
from collections.abc import Iterator
from dataclasses import dataclass, field

from ..facts import Form, Kind
from .lines import Line, Part, form_of, number_labels
from .names import file_name, symbol_name
from .notes_x86 import is_vector, note

_LABEL = re.compile(r'("[^"]+"|[\w.$]+):')
_FILE = re.compile(r'\s*\.file\s+(\d+)\s+"([^"]*)"(?:\s+"([^"]*)")?')
_LOC = re.compile(r"\s*\.loc\s+(\d+)\s+(\d+)\b")
_FUNCTION = re.compile(r'\s*\.type\s+("[^"]+"|[\w.$]+),\s*[@%]function')
_DATA = re.compile(r"\s*\.(byte|short|value|long|quad|zero|ascii|asciz|word|xword|hword)\s+(.*)")
_SYMBOL = re.compile(r'"[^"]+"|(?<![\w.])(?:_Z\w+|NRT_\w+|numba_\w+|\.L\w+|\.const[\w.]*)')
_SIZES = {
    "byte": 1,
    "short": 2,
    "value": 2,
    "hword": 2,
    "long": 4,
    "word": 4,
    "quad": 8,
    "xword": 8,
}
_JUMP = re.compile(r"j\w+|b(?:\.\w+)?|cbn?z|tbn?z")
_ALWAYS = ("jmp", "b", "br", "ret", "retq", "ud2", "brk")
_INTEGER = re.compile(
    r"(add|sub|adc|sbb|imul|mul|inc|dec|neg|not|and|or|xor|shl|shr|sar|sal|rol|ror|rorx|andn|lea|"
    r"movabs|movsxd?|movzx|mov|cdqe?|cqo|cwde|div|idiv|set\w+|cmov\w+|bt\w?|tzcnt|lzcnt|popcnt|"
    r"bsf|bsr|bsr|shld|shrd|sarx|shlx|shrx|mulx|bextr|bzhi|bls\w+|xchg|bswap|madd|msub|sdiv|udiv|"
    r"csel|csinc|cset|orr|eor|lsl|lsr|asr|sxtw|uxtw|adrp?|movk|movz|sbfiz|ubfiz|mvn)"
)


@dataclass
class _Function:
    lines: list[Line] = field(default_factory=list)
    names: list[str] = field(default_factory=list)  # symbols that it mentions, in their order


def form(text: str, entry: str, title: str) -> Form:
    """The function of a symbol, with all that it calls, of a module's text."""
    module = _Module(text)
    parts = []
    for symbol in _reached(module.functions, entry):
        lines = module.functions[symbol].lines
        _finish(lines, module)
        number_labels(lines)
        parts.append(Part(symbol_name(symbol), lines))
    return form_of(title, _told_apart(parts))


def _reached(functions: dict[str, _Function], entry: str) -> list[str]:
    """The symbols of a function and of those that it calls, each once."""
    found: list[str] = []
    waiting = [entry]
    while waiting:
        symbol = waiting.pop(0)
        if symbol in functions and symbol not in found:
            found.append(symbol)
            waiting += functions[symbol].names
    return found


def _told_apart(parts: list[Part]) -> list[Part]:
    """With a number after a name that several functions have: one for each list of types."""
    seen: dict[str, int] = {}
    for part in parts:
        seen[part.name] = count = seen.get(part.name, 0) + 1
        if count > 1:
            part.name = f"{part.name} ({count})"
    return parts


class _Module:
    """The functions of a text, and the data that stands beside them."""

    def __init__(self, text: str) -> None:
        self.functions: dict[str, _Function] = {}
        self.data: dict[str, bytes] = {}
        self.tables: dict[str, list[str]] = {}  # of places to jump to
        self._files: dict[str, str] = {}
        self._place = ("", 0)
        known = set(_FUNCTION.findall(text))
        open_one: _Function | None = None
        label = ""
        for row in text.splitlines():
            found = _LABEL.match(row)
            if found and found[1] in known:
                open_one = self.functions[found[1]] = _Function()
                self._place = ("", 0)
            elif found:
                label = found[1]
                if label.startswith(".Lfunc_end"):
                    open_one = None
                elif open_one:
                    open_one.lines.append(Line(row, "label", label=label))
            elif self._is_directive(row, label) or open_one is None:
                continue
            else:
                self._add(open_one, row)

    def _is_directive(self, row: str, label: str) -> bool:
        """Whether a row is none of code; what it says of data and lines is kept."""
        file, loc, data = _FILE.match(row), _LOC.match(row), _DATA.match(row)
        if file:
            folder, name = (file[2], file[3]) if file[3] else ("", file[2])
            self._files[file[1]] = file_name(f"{folder}/{name}" if folder else name)
        elif loc:
            line = int(loc[2])
            self._place = (self._files.get(loc[1], "") if line else "", line)
        elif data and data[1] == "quad" and data[2].startswith(".L"):
            self.tables.setdefault(label, []).append(data[2])
        elif data:
            self.data[label] = self.data.get(label, b"") + _bytes(data[1], data[2])
        return row.lstrip().startswith((".", "#", "//")) or not row.strip()

    def _add(self, function: _Function, row: str) -> None:
        words = row.split(" #")[0].split("//")[0].split("##")[0].split(None, 1)
        mnemonic, operands = words[0], words[1].strip() if len(words) > 1 else ""
        if mnemonic in ("lock", "rep", "repne", "notrack") and operands:
            prefix, (mnemonic, *rest) = mnemonic, operands.split(None, 1)
            operands, mnemonic = rest[0] if rest else "", f"{prefix} {mnemonic}"
        function.names += (each for each in _SYMBOL.findall(operands) if each[0] != ".")
        text = f"{mnemonic} {operands}".strip()
        function.lines.append(Line(text, file=self._place[0], line=self._place[1]))


def _bytes(kind: str, text: str) -> bytes:
    """The bytes of a directive for data, if they are numbers."""
    text = text.split("#")[0].strip()
    if kind in ("ascii", "asciz"):
        return text.strip('"').encode()
    try:
        if kind == "zero":
            return bytes(int(text.split(",")[0], 0))
        size = _SIZES[kind]
        return b"".join(
            (int(each, 0) & ((1 << 8 * size) - 1)).to_bytes(size, "little")
            for each in text.split(",")
        )
    except ValueError:  # an address
        return b""


# ---- instructions


def _finish(lines: list[Line], module: _Module) -> None:
    """Judge the instructions of a function, give them words, and shorten names."""
    has_frame = any(line.text == "mov rbp, rsp" for line in lines[:8])
    stack = ("rsp", "rbp") if has_frame else ("rsp",)
    holds: dict[str, str] = {}  # registers with the address of a function, a table or a constant
    for line in lines:
        if line.label:
            continue
        mnemonic, _, given = line.text.partition(" ")
        if mnemonic in ("lock", "rep", "repne"):
            word, _, given = given.partition(" ")
            mnemonic = f"{mnemonic} {word}"
        operands = _split(given)
        named = _SYMBOL.search(given)
        if mnemonic in ("movabs", "lea", "mov") and named and operands:
            holds[operands[0]] = named[0]
        symbols = (
            [named[0]] if named else [holds[each] for each in _registers(given) if each in holds]
        )
        _judge(line, mnemonic, operands, stack)
        _jumps(line, mnemonic, operands, module, symbols)
        extra = "".join(_told(symbol, mnemonic, module) for symbol in symbols[:1])
        line.note = note(mnemonic, operands) + extra
        line.text = _SYMBOL.sub(lambda found: _short(found[0]), line.text)
        if operands and not named and line.kind not in ("memory", "stack"):
            holds.pop(operands[0], None)


def _split(operands: str) -> tuple[str, ...]:
    """The operands, of which addresses and lists of registers have commas too."""
    return tuple(filter(None, (each.strip() for each in re.split(r",(?![^\[{]*[\]}])", operands))))


def _registers(operands: str) -> Iterator[str]:
    """The registers that an address is made of, or that a call goes by."""
    for address in re.findall(r"\[([^\]]*)\]", operands) or [operands]:
        yield from re.findall(r"\b[re]?[a-ds0-9][a-z0-9]{1,2}\b", address)


def _judge(line: Line, mnemonic: str, operands: tuple[str, ...], stack: tuple[str, ...]) -> None:
    addresses = [each for each in operands if "[" in each] if mnemonic != "lea" else []
    line.is_memory = bool(addresses) and not mnemonic.startswith(("nop", "prefetch"))
    line.is_memory |= mnemonic in ("push", "pop") or mnemonic.startswith("rep ")
    line.is_stack = mnemonic in ("push", "pop") or any(
        re.search(rf"\b{each}\b", address) for each in stack for address in addresses
    )
    line.is_multiply_add = bool(re.match(r"vfn?m(add|sub)|fn?m(add|sub)|fml[as]", mnemonic))
    line.is_vector = is_vector(mnemonic, operands)
    line.kind = _kind(line, mnemonic, operands)


def _kind(line: Line, mnemonic: str, operands: tuple[str, ...]) -> Kind:
    if mnemonic in ("call", "callq", "bl", "blr"):
        return "call"
    if mnemonic in _ALWAYS or _JUMP.fullmatch(mnemonic) or mnemonic in ("cmp", "test"):
        return "branch"
    if line.is_multiply_add:
        return "multiply-add"
    if line.is_stack or operands[:1] == ("rsp",):
        return "stack"
    moves = re.match(r"v?mov|v?gather|vp?maskmov|v?p?broadcast|ld|st|kmov|vp?scatter", mnemonic)
    if line.is_memory and (moves or not line.is_vector):
        return "memory"
    if line.is_vector:
        return "vector"
    return "address" if _INTEGER.fullmatch(mnemonic) else "other"


def _jumps(
    line: Line, mnemonic: str, operands: tuple[str, ...], module: _Module, symbols: list[str]
) -> None:
    """Where an instruction may go."""
    if mnemonic in _ALWAYS:
        line.falls = False
    if _JUMP.fullmatch(mnemonic) and operands:
        table = [each for symbol in symbols for each in module.tables.get(symbol, ())]
        is_label = operands[-1].startswith(".L")
        line.targets = (operands[-1],) if is_label else tuple(dict.fromkeys(table))


def _told(symbol: str, mnemonic: str, module: _Module) -> str:
    """What is known of the symbol that an instruction uses: a sentence after its own."""
    if mnemonic == "call" and symbol[0] != ".":
        return f" Here: {symbol_name(symbol)}."
    value = _value(module.data.get(symbol, b"")) if symbol.startswith(".LCPI") else ""
    return f" {_short(symbol)} is {value}." if value else ""


def _value(data: bytes) -> str:
    """A constant as a reader would write it: as float32 where that is a number to write."""
    size = 8 if len(data) == 8 else 4
    words = [data[at : at + size] for at in range(0, len(data) - size + 1, size)]
    shown = list(dict.fromkeys(_number(word) for word in words))
    return ", ".join(shown[:4]) + (", ..." if len(shown) > 4 else "")


def _number(word: bytes) -> str:
    (found,) = struct.unpack("<d" if len(word) == 8 else "<f", word)
    if found == 0 or 1e-12 < abs(found) < 1e12:
        return f"{found:.7g}"
    return str(int.from_bytes(word, "little", signed=True))


def _short(symbol: str) -> str:
    """A symbol as it is shown; a label of the function keeps its name for now."""
    if symbol.startswith(".LCPI"):
        return f"constant{symbol.rpartition('_')[2]}"
    if symbol.startswith(".LJTI"):
        return f"table{symbol.rpartition('_')[2]}"
    return symbol if symbol.startswith(".L") else symbol_name(symbol)
