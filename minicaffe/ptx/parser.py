"""PTX text -> Module. It reads what NVVM writes for kernels, and inline assembly among it.

parse     text -> statements -> functions (an instruction, a label, a register at a time)
inline    a call becomes the body of what it calls                         (inline.py)
layout    variables get places, instructions become basic blocks          (layout.py)
"""

import re
from collections.abc import Iterator

from ..errors import ParseError
from .function import Function, Slot
from .inline import inline_calls
from .instruction import (
    TYPES,
    Address,
    Immediate,
    Instruction,
    Not,
    Operand,
    Register,
    Special,
    Symbol,
    Vector,
)
from .layout import kernel_of
from .program import Module, Variable

_STATEMENT = re.compile(
    r"""\s*(?:
      (?P<open>\{)
    | (?P<close>\})
    | (?P<label>[$\w]+)\s*:(?!:)
    | (?P<line>\.(?:loc|file|version|target|address_size)\b[^\n]*)
    | \.section[^{]*\{[^}]*\}
    | (?P<head>(?:\.(?:visible|weak|extern)\s+)*\.(?:entry|func)\b[^;{]*)
    | (?P<text>[^;]*);
    | (?P<end>\Z)
    )""",
    re.VERBOSE,
)
_HEAD = re.compile(
    r".*?\.(?P<kind>entry|func)\s*(?:\((?P<results>[^)]*)\))?\s*(?P<name>[\w$%]+)"
    r"\s*(?:\((?P<parameters>[^)]*)\))?(?P<rest>.*)",
    re.DOTALL,
)
_PARAMETER = re.compile(
    r"\.(?:param|reg)\s+(?:\.align\s+(?P<align>\d+)\s+)?\.(?P<type>\w+)\s+"
    r"(?:\.ptr\s*(?:\.\w+\s+)*?(?:\.align\s+\d+\s+)?)?(?P<name>[\w$%]+)\s*(?:\[(?P<count>\d+)\])?"
)
_VARIABLE = re.compile(
    r"(?:\.(?:visible|extern|weak|common)\s+)*\.(?P<space>shared|const|global|local)\s+"
    r"(?:\.align\s+(?P<align>\d+)\s+)?\.(?P<type>\w+)\s+(?P<name>[\w$.]+)\s*"
    r"(?P<sizes>(?:\[\d*\])*)\s*(?:=\s*(?P<data>.*))?",
    re.DOTALL,
)
_REGISTERS = re.compile(r"(%?[\w$]+)(?:<(\d+)>)?")
_PREDICATED = re.compile(r"@(!?)\s*(%?[\w$]+)\s*(.*)")
_NUMBER = re.compile(
    r"(?P<sign>-?)(?:0[fF](?P<f32>[\da-fA-F]{8})|0[dD](?P<f64>[\da-fA-F]{16})"
    r"|(?P<integer>0[xX][\da-fA-F]+|0[bB][01]+|\d+))U?"
)
_ADDRESS = re.compile(
    r"(?P<base>[%$A-Za-z_][\w$%]*)?\s*(?P<offset>\+?\s*-?\s*(?:0[xX][\da-fA-F]+|\d+))?"
)
_SPECIALS = re.compile(
    r"%(?:n?tid|n?ctaid|laneid|n?warpid|n?smid|gridid|lanemask_(?:eq|le|lt|ge|gt)"
    r"|clock(?:_hi|64)?|globaltimer|(?:dynamic|total)_smem_size|activemask)(?:\.[xyz])?"
)


def parse(text: str) -> Module:
    """Read a text of PTX. Raises ParseError, with the line, for what cannot be read."""
    return _Parser(text).module()


class _Parser:
    """The state of a parse: the function that is open, its scopes, the place in Python."""

    def __init__(self, text: str) -> None:
        self.given = text
        blank = lambda match: "\n" * match[0].count("\n")  # noqa: E731
        self.text = re.sub(r"/\*.*?\*/|//[^\n]*", blank, text, flags=re.DOTALL)
        self.line = 1
        self.version = self.target = ""
        self.files: dict[str, str] = {}
        self.functions: dict[str, Function] = {}
        self.globals: dict[str, Variable] = {}
        self.open: Function | None = None
        self.scopes: list[dict[str, str]] = []
        self.scope_count = 0
        self.place = ("", 0)

    def module(self) -> Module:
        """The whole text, calls inlined and kernels laid out."""
        for kind, words in self._statements():
            getattr(self, f"_{kind}")(words)
        if not self.version or not self.target:
            raise self._error("a PTX text begins with .version and .target")
        self._check_labels()
        inline_calls(self.functions)
        for function in self.functions.values():
            function.name_places(self.files)
        kernels = {
            name: kernel_of(function, self.globals, self.given)
            for name, function in self.functions.items()
            if function.is_kernel
        }
        memory = {
            name: each for name, each in self.globals.items() if each.space in ("global", "const")
        }
        return Module(kernels, memory, self.target, self.version)

    def _check_labels(self) -> None:
        for function in self.functions.values():
            for each in function.instructions:
                label = each.operands[0] if each.opcode == "bra" and each.operands else None
                if isinstance(label, Symbol) and label.name not in function.labels:
                    self.line = each.line
                    raise self._error(f"no label '{label.name}'")

    def _error(self, message: str) -> ParseError:
        return ParseError(f"PTX, line {self.line}: {message}")

    def _statements(self) -> Iterator[tuple[str, str]]:
        """(kind, text) of each statement; `self.line` is the one on which it begins."""
        at = counted = 0
        while match := _STATEMENT.match(self.text, at):
            kind = match.lastgroup
            if kind == "end":
                return
            if kind:
                begin = match.start(kind)
                self.line += self.text.count("\n", counted, begin)
                counted = begin
                yield kind, " ".join(match[kind].split())
            at = match.end()
        self.line += self.text.count("\n", counted, at)
        raise self._error(f"';' is expected after '{self.text[at:].strip()[:60]}'")

    # --- statements ------------------------------------------------------------------------------

    def _line(self, words: str) -> None:
        name, *rest = words.split(None, 3)
        if name == ".version":
            self.version = rest[0]
        elif name == ".target":
            self.target = rest[0].rstrip(",")
        elif name == ".file":
            self.files[rest[0]] = " ".join(rest[1:]).split('"')[1]
        elif name == ".loc" and int(rest[1]):  # line 0: code that belongs to no line
            self.place = (rest[0], int(rest[1]))

    def _head(self, words: str) -> None:
        match = _HEAD.fullmatch(words)
        if not match:
            raise self._error(f"not the head of a function: '{words[:60]}'")
        self.open = Function(
            match["name"],
            match["kind"] == "entry",
            [self._slot(each) for each in _split(match["parameters"] or "")],
            [self._slot(each) for each in _split(match["results"] or "")],
        )
        limits = re.search(r"\.(?:maxntid|reqntid)\s+(\d+)(?:,\s*(\d+))?(?:,\s*(\d+))?", words)
        for size in limits.groups() if limits else ():
            self.open.most_threads = max(self.open.most_threads, 1) * int(size or 1)

    def _open(self, _: str) -> None:
        if self.open is None:
            raise self._error("'{' is expected after the head of a function only")
        if not self.scopes:
            self.functions[self.open.name] = self.open
        self.scopes.append(dict(self.scopes[-1]) if self.scopes else {})
        self.scope_count += 1

    def _close(self, _: str) -> None:
        if not self.scopes:
            raise self._error("'}' without '{'")
        self.scopes.pop()
        if not self.scopes:
            self.open = None

    def _label(self, name: str) -> None:
        self._function.labels[name] = len(self._function.instructions)

    def _text(self, words: str) -> None:
        if not self.scopes:  # between functions: a variable, or the end of a declaration
            self.open = None
        if not words or words.startswith(".pragma"):
            return
        if words.startswith(".reg"):
            self._registers(words)
        elif words.startswith(".param"):
            slot = self._slot(words)
            self._function.slots[slot.name] = slot
        elif words.startswith("."):
            variable = self._variable(words)
            variables = self._function.variables if self.scopes else self.globals
            variables[variable.name] = variable
        else:
            self._function.instructions.append(self._instruction(words))

    @property
    def _function(self) -> Function:
        if self.open is None or not self.scopes:
            raise self._error("an instruction is expected inside of a function only")
        return self.open

    def _registers(self, words: str) -> None:
        """.reg .f32 %f<3>; or .reg .b32 temp, other; which are new in each scope."""
        _, kind, names = words.split(None, 2)
        for each in names.split(","):
            match = _REGISTERS.fullmatch(each.strip())
            if not match or kind[1:] not in TYPES:
                raise self._error(f"not a register: '{words}'")
            name, count = match.groups()
            for one in [f"{name}{index}" for index in range(int(count))] if count else [name]:
                inner = len(self.scopes) > 1
                self.scopes[-1][one] = f"{one}@{self.scope_count}" if inner else one
                self._function.registers[self.scopes[-1][one]] = kind[1:]

    def _slot(self, words: str) -> Slot:
        match = _PARAMETER.match(words.strip())
        if not match or match["type"] not in TYPES:
            raise self._error(f"not a parameter: '{words}'")
        size = TYPES[match["type"]].itemsize
        count = int(match["count"] or 1)
        return Slot(match["name"], match["type"], size * count, int(match["align"] or size))

    def _variable(self, words: str) -> Variable:
        match = _VARIABLE.fullmatch(words)
        if not match or match["type"] not in TYPES:
            raise self._error(f"not a variable: '{words[:80]}'")
        dtype = TYPES[match["type"]]
        count = 1
        for size in re.findall(r"\[(\d*)\]", match["sizes"]):
            count *= int(size or 0)
        values = [self._operand(each) for each in _split((match["data"] or "").strip("{} "))]
        data = bytearray()
        for value in values:
            if not isinstance(value, Immediate):
                raise self._error(f"a number is expected, not an address: '{words[:80]}'")
            data += value.value(dtype).tobytes()
        size = dtype.itemsize * count
        alignment = int(match["align"] or dtype.itemsize)
        return Variable(match["name"], match["space"], size, alignment, 0, bytes(data))

    # --- instructions ----------------------------------------------------------------------------

    def _instruction(self, words: str) -> Instruction:
        rest, predicate, negated = words, None, False
        if match := _PREDICATED.fullmatch(words):
            negated, rest = bool(match[1]), match[3]
            predicate = self._register(match[2])
        opcode, _, operands = rest.partition(" ")
        root, *modifiers = opcode.split(".")
        parsed = tuple(self._operand(each) for each in _split(operands))
        file, python_line = self.place
        return Instruction(
            root, tuple(modifiers), parsed, predicate, negated, self.line, file, python_line, words
        )

    def _register(self, name: str) -> Register:
        known = self.scopes[-1].get(name)
        if known is None:
            raise self._error(f"no register '{name}'")
        return Register(known)

    def _operand(self, words: str) -> Operand:
        words = words.strip()
        if words[:1] in ("{", "("):  # a vector, or the arguments of a call
            return Vector(tuple(self._operand(each) for each in _split(words[1:-1])))
        if words.startswith("["):
            return self._address(words[1:-1].strip())
        if "|" in words:
            return Vector(tuple(self._operand(each) for each in words.split("|")))
        if match := _NUMBER.fullmatch(words):
            return _number(match)
        if words.startswith("!"):
            return Not(self._register(words[1:].strip()))
        if words == "_":
            return Register("_")
        if self.scopes and words in self.scopes[-1]:
            return Register(self.scopes[-1][words])
        if _SPECIALS.fullmatch(words):
            return Special(words)
        if words.startswith("%") or not words:
            raise self._error(f"no register '{words}'")
        return Symbol(words)

    def _address(self, words: str) -> Address:
        match = _ADDRESS.fullmatch(words)
        if not match or not words:
            raise self._error(f"not an address: '[{words}]'")
        offset = int((match["offset"] or "0").replace(" ", "").replace("+-", "-"), 0)
        if not match["base"]:
            return Address(None, offset)
        base = self._operand(match["base"])
        if not isinstance(base, Register | Symbol):
            raise self._error(f"not an address: '[{words}]'")
        return Address(base, offset)


def _number(match: re.Match[str]) -> Immediate:
    for kind in ("f32", "f64"):
        if match[kind]:
            return Immediate(int(match[kind], 16), kind)
    digits = match["integer"]
    octal = digits.isdigit() and digits.startswith("0")
    value = int(digits, 8 if octal else 0)
    return Immediate(-value if match["sign"] else value)


def _split(words: str) -> list[str]:
    """What commas separate that stand in no bracket."""
    parts, depth, begin = [], 0, 0
    for at, letter in enumerate(words):
        if letter in "{[(":
            depth += 1
        elif letter in "}])":
            depth -= 1
        elif letter == "," and not depth:
            parts.append(words[begin:at])
            begin = at + 1
    return [part for part in (*parts, words[begin:]) if part.strip()]
