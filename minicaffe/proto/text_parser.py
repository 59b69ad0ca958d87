"""The parser behind text.py: recursive descent, one regular expression a field and one a value.

Recursion is as deep as messages nest; no message of the schema contains itself, so that is a
handful of levels whatever the text holds.
"""

import difflib
import re
from typing import Any

from google.protobuf.descriptor import FieldDescriptor
from google.protobuf.message import Message

from minicaffe.errors import ParseError

from .places import Place
from .reflection import Field, fields, required

_SKIP = r"(?:[ \t\n\v\f\r]++|\#[^\n]*+)*+"  # white space and comments
_BLANK = re.compile(_SKIP)
_SEPARATOR = re.compile(rf"{_SKIP}(?:[,;]{_SKIP})?+")
_FIELD = re.compile(rf"([A-Za-z_]\w*+){_SKIP}(:?){_SKIP}", re.ASCII)
_NEXT_FIELD = re.compile(_SEPARATOR.pattern + _FIELD.pattern, re.ASCII)
_SCALAR = re.compile(
    rf"""(-?){_SKIP}(?:
        (?P<integer> (?:0[xX][0-9a-fA-F]++ | \d++) (?![.eEfF]))
      | (?P<real> (?:\d++\.?\d*+ | \.\d++) (?:[eE][-+]?\d++)? [fF]? (?![.eE]))
      | (?P<word> [A-Za-z_]\w*+)
    )""",
    re.ASCII | re.VERBOSE,
)
_STRING = re.compile(
    rf""" (?: "([^"\\]*+(?:\\.[^"\\]*+)*+)" | '([^'\\]*+(?:\\.[^'\\]*+)*+)' ) {_SKIP} """,
    re.DOTALL | re.VERBOSE,
)
_ESCAPE = re.compile(
    rb"""\\ (?: (?P<simple>[abfnrtv\\?'"]) | (?P<octal>[0-7]{1,3}) | [xX](?P<hex>[0-9a-fA-F]{1,2})
              | u(?P<code>[0-9a-fA-F]{4}) | U(?P<wide>00(?:0[0-9a-fA-F]|10)[0-9a-fA-F]{4})
              | (?P<wrong>.) )""",
    re.DOTALL | re.VERBOSE,
)
_SIMPLE = dict(zip(b"abfnrtv\\?'\"", b"\a\b\f\n\r\t\v\\?'\"", strict=True))
_TOKEN = re.compile(r"[\w.+-]+|\"[^\"\n]*\"?|'[^'\n]*'?|.", re.ASCII | re.DOTALL)

LAYERS = ("layer", "layers")
_TRUE, _FALSE = ("true", "True", "t"), ("false", "False", "f")
_REAL = (FieldDescriptor.CPPTYPE_FLOAT, FieldDescriptor.CPPTYPE_DOUBLE)
_RANGE = {
    FieldDescriptor.CPPTYPE_INT32: (-(2**31), 2**31 - 1),
    FieldDescriptor.CPPTYPE_UINT32: (0, 2**32 - 1),
    FieldDescriptor.CPPTYPE_INT64: (-(2**63), 2**63 - 1),
    FieldDescriptor.CPPTYPE_UINT64: (0, 2**64 - 1),
}


class TextParser:
    """Fills one message from `text`; bytes that are not UTF-8 stand in it as lone surrogates."""

    def __init__(self, text: str, source: str) -> None:
        self.text = text
        self.source = source
        self.pos = 0
        self.open: list[tuple[Message, int]] = []  # messages begun, and their brackets
        self.long_string: int | None = None  # where the last string of several lines began
        self.layers: list[tuple[int, int]] = []  # brackets of the layers of nets

    def parse(self, message: Message) -> None:
        self._fields(message, "", 0)

    def places(self) -> list[Place]:
        """Where the layers of the nets in the text stand, in its order."""
        found, line, end = [], 1, 0
        for opened, closed in self.layers:
            first = line + self.text.count("\n", end, opened)
            line = first + self.text.count("\n", opened, closed)
            end = closed
            found.append(Place(self.source, first, line))
        return found

    def _fields(self, message: Message, close: str, opened: int) -> None:
        """The fields of a message up to its closing bracket, or to the end of the text."""
        descriptor, text = message.DESCRIPTOR, self.text
        table = fields(descriptor)
        seen: set[str] = set()
        self.open.append((message, opened))
        self._skip()
        while match := (_NEXT_FIELD if seen else _FIELD).match(text, self.pos):
            name, colon = match.groups()
            field = table.get(name)
            if field is None:
                raise self._error(match.start(1), self._unknown(name))
            if name in seen and not field.repeated:
                raise self._error(match.start(1), f"'{name}' of {descriptor.name} is given twice")
            seen.add(name)
            self.pos = match.end()
            if not colon and field.message is None:
                raise self._error(self.pos, f"expected ':' after '{name}', found {self._found()}")
            if field.repeated and text.startswith("[", self.pos):
                self._list(message, field)
            elif field.message is not None:
                self._message(message, field)
            elif field.repeated:
                getattr(message, name).append(self._scalar(field))
            else:
                setattr(message, name, self._scalar(field))
        if seen:
            self._skip(_SEPARATOR)
        if self.pos == len(text) and close:
            raise self._error(opened, f"'{text[opened]}' is never closed")
        if text[self.pos : self.pos + 1] != close:
            expected = f"a field name or '{close}'" if close else "a field name"
            raise self._error(self.pos, f"expected {expected}, found {self._found()}")
        self.pos += len(close)
        self.open.pop()
        if missing := [name for name in required(descriptor) if name not in seen]:
            raise self._error(opened, f"{descriptor.name} needs {_names(missing, 'and')}")

    def _message(self, parent: Message, field: Field) -> None:
        opened = self.pos
        close = {"{": "}", "<": ">"}.get(self.text[opened : opened + 1])
        if close is None:
            raise self._error(opened, f"expected '{{' after '{field.name}', found {self._found()}")
        child = getattr(parent, field.name)
        if field.repeated:
            child = child.add()
        else:
            child.SetInParent()
        self.pos += 1
        self._fields(child, close, opened)
        if field.name in LAYERS and parent.DESCRIPTOR.name == "NetParameter":
            self.layers.append((opened, self.pos))

    def _list(self, message: Message, field: Field) -> None:
        """[value, value, ...] of a repeated field."""
        opened = self.pos
        delimiter = ","
        self.pos += 1
        self._skip()
        if self.text.startswith("]", self.pos):
            self.pos += 1
            return
        while delimiter == ",":
            if field.message is not None:
                self._message(message, field)
            else:
                getattr(message, field.name).append(self._scalar(field))
            self._skip()
            delimiter = self.text[self.pos : self.pos + 1]
            if not delimiter:
                raise self._error(opened, "'[' is never closed")
            if delimiter not in ",]":
                raise self._error(self.pos, f"expected ',' or ']', found {self._found()}")
            self.pos += 1
            if delimiter == ",":
                self._skip()

    def _scalar(self, field: Field) -> Any:
        """One value, of the field's type."""
        kind = field.cpp_type
        if kind == FieldDescriptor.CPPTYPE_STRING:
            return self._string(field)
        at = self.pos
        match = _SCALAR.match(self.text, at)
        if match is None:
            raise self._expected(field)
        sign, integer, real, word = match.groups()
        value: Any = None
        if kind in _REAL:
            if word and word.lower() in ("inf", "infinity", "nan"):
                value = float(sign + word)
            elif real:
                value = float(sign + real.rstrip("fF"))
            elif integer and (integer[0] != "0" or integer == "0"):
                value = float(sign + integer)
        elif integer:
            value = self._integer(field, sign + integer)
        elif word and not sign:
            if kind == FieldDescriptor.CPPTYPE_BOOL and word in _TRUE + _FALSE:
                value = word in _TRUE
            elif field.enum is not None and word in field.enum.values_by_name:
                value = field.enum.values_by_name[word].number
        if value is None:
            raise self._expected(field)
        self.pos = match.end()
        return value

    def _integer(self, field: Field, digits: str) -> int | bool | None:
        """A decimal, hex or octal literal; None where the field's type does not take it."""
        unsigned = digits.lstrip("-")
        base = 10 if unsigned[0] != "0" else 16 if unsigned[1:2] in ("x", "X") else 8
        if base == 8 and not set(unsigned) <= set("01234567"):
            raise self._error(self.pos, f"{digits} for '{field.name}': a leading 0 means octal")
        number = int(digits[:40] if base == 10 else digits, base)  # 40 are out of every range
        if field.cpp_type == FieldDescriptor.CPPTYPE_BOOL:
            return bool(number) if number in (0, 1) and digits == unsigned else None
        if field.enum is not None:
            return number if number in field.enum.values_by_number else None
        low, high = _RANGE[field.cpp_type]
        if not low <= number <= high:
            what = f"{self._found()} is out of range for '{field.name}': {low} to {high}"
            raise self._error(self.pos, what)
        return number

    def _string(self, field: Field) -> str | bytes:
        """String literals side by side, joined."""
        at, parts = self.pos, []
        while match := _STRING.match(self.text, self.pos):
            body: str = match.group(match.lastindex or 0)
            if "\n" in body:
                self.long_string = self.pos
            raw = body.encode("utf-8", "surrogateescape")
            try:
                parts.append(_ESCAPE.sub(_unescape, raw) if b"\\" in raw else raw)
            except ValueError as problem:
                raise self._error(self.pos, f"{problem} in the string for '{field.name}'") from None
            self.pos = match.end()
        if not parts or self.text.startswith(("'", '"'), self.pos):
            raise self._expected(field)
        value = b"".join(parts)
        if field.is_bytes:
            return value
        if b"\0" in value:
            raise self._error(at, f"a NUL character in the string for '{field.name}'")
        try:
            return value.decode("utf-8")
        except UnicodeDecodeError as problem:
            bad = f"byte 0x{value[problem.start]:02x}"
            what = f"{bad} in the string for '{field.name}' is not UTF-8"
            raise self._error(at, what) from None

    def _skip(self, pattern: re.Pattern[str] = _BLANK) -> None:
        match = pattern.match(self.text, self.pos)
        self.pos = match.end() if match else self.pos

    def _found(self) -> str:
        """The token at the current place, for an error."""
        match = _TOKEN.match(self.text, self.pos)
        if match is None:
            return "the end of the file"
        token = match.group()
        if "\udc80" <= token[0] <= "\udcff":
            return f"byte 0x{ord(token[0]) - 0xDC00:02x}"
        if not token.isprintable():
            return ascii(token)
        return token if len(token) <= 40 else f"{token[:40]}..."

    def _expected(self, field: Field) -> ParseError:
        found = self._found()
        if field.cpp_type == FieldDescriptor.CPPTYPE_STRING:
            if self.text.startswith(("'", '"'), self.pos):
                return self._error(self.pos, f"the string for '{field.name}' is never closed")
            want = "a string in quotes"
        elif field.enum is not None:
            want = _names([value.name for value in field.enum.values], "or", quote="")
        elif field.cpp_type == FieldDescriptor.CPPTYPE_BOOL:
            want = "true or false"
        else:
            want = "a decimal number" if field.cpp_type in _REAL else "an integer"
        return self._error(self.pos, f"expected {want} for '{field.name}', found {found}")

    def _unknown(self, name: str) -> str:
        """What may have been meant: an enclosing message, an inner one, another spelling, ..."""
        message, opened = self.open[-1]
        descriptor = message.DESCRIPTOR
        table = fields(descriptor)
        what = f"{descriptor.name} has no field '{name}'"
        if any(name in fields(outer.DESCRIPTOR) for outer, _ in self.open[:-1]):
            return f"{what}; is the '{{' of line {self._line(opened)} not closed?"
        inner = [f.name for f in table.values() if f.message and name in fields(f.message)]
        if inner:
            return f"{what}; it belongs in {_names(inner[:4], 'or')}"
        near = difflib.get_close_matches(name, table, n=3, cutoff=0.7)
        if near:
            return f"{what}; did you mean {_names(near, 'or')}?"
        types = descriptor.file.message_types_by_name.values()
        others = [other.name for other in types if name in fields(other)]
        return f"{what}; {_names(others[:3], 'and', quote='')} has it" if others else what

    def _line(self, at: int) -> int:
        return self.text.count("\n", 0, at) + 1

    def _error(self, at: int, what: str) -> ParseError:
        column = at - self.text.rfind("\n", 0, at)
        if self.long_string is not None:
            start = self._line(self.long_string)
            what += f" (the string of line {start} runs over several: is a quote missing?)"
        return ParseError(f"{self.source}:{self._line(at)}:{column}: {what}")


def _unescape(match: re.Match[bytes]) -> bytes:
    kind = match.lastgroup or ""
    digits = match.group(kind)
    if kind == "simple":
        return bytes([_SIMPLE[digits[0]]])
    if kind in ("octal", "hex"):
        return bytes([int(digits, 8 if kind == "octal" else 16) & 0xFF])
    if kind in ("code", "wide"):
        return chr(int(digits, 16)).encode("utf-8", "surrogatepass")
    raise ValueError(f"unknown escape sequence \\{ascii(chr(digits[0]))[1:-1]}")


def _names(names: list[str], word: str, quote: str = "'") -> str:
    quoted = [f"{quote}{name}{quote}" for name in names]
    return f" {word} ".join([*filter(None, [", ".join(quoted[:-1])]), quoted[-1]])
