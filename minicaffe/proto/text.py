"""Prototxt: messages from text, with the place of every mistake, and back.

The grammar is that of protobuf's C++ parser, which is Caffe's: comments from `#`; `{ }` or `< >`,
with or without a colon before them; `[1, 2]` for a repeated field; an optional `,` or `;` after a
field; strings in either kind of quotes, joined when they stand side by side; hex and octal
integers; `1e3f` and `inf`; `t` and `1` for true.
"""

import struct
from collections.abc import Iterator
from os import PathLike
from pathlib import Path
from typing import Any, TypeVar

from google.protobuf.descriptor import FieldDescriptor
from google.protobuf.message import Message

from minicaffe.errors import ParseError

from .places import Place
from .reflection import Field, fields
from .text_parser import TextParser

M = TypeVar("M", bound=Message)

_ESCAPES = {code: f"\\{code:03o}" for code in (*range(32), 127)}
_ESCAPES |= {ord("\n"): "\\n", ord("\r"): "\\r", ord("\t"): "\\t"}
_ESCAPES |= {ord(char): f"\\{char}" for char in "\"'\\"}


def parse_text(text: str, message: M, source: str = "<string>") -> M:
    """Fill `message` (cleared first) from prototxt and return it.

    Raises ParseError, which starts with `source:line:column: `, for whatever Caffe's parser
    refuses: an unknown field or enum value, a literal of the wrong type or out of range, a field
    that is not repeated given twice, a missing required field, unmatched brackets or quotes.
    """
    message.Clear()
    TextParser(text, source).parse(message)
    return message


def read_text(path: str | PathLike[str], message: M) -> M:
    """Fill `message` from a prototxt file and return it.

    Raises ParseError as `parse_text` does, or without a line if the file cannot be read at all.
    Bytes that are not UTF-8 may stand in comments only.
    """
    read_text_and_places(path, message)
    return message


def read_text_and_places(path: str | PathLike[str], message: Message) -> list[Place]:
    """As `read_text`; where the layers of nets stand in the file."""
    try:
        data = Path(path).read_bytes()
    except OSError as problem:
        raise ParseError(f"{path}: cannot be read: {problem.strerror}") from problem
    if b"\0" in data:
        raise ParseError(f"{path}: a binary file where prototxt was expected")
    text = data.decode("utf-8", "surrogateescape").removeprefix("\ufeff")
    message.Clear()
    parser = TextParser(text, str(path))
    parser.parse(message)
    return parser.places()


def format_text(message: Message) -> str:
    """The prototxt of a message as Caffe's own tools write it, in the order of field numbers."""
    return "".join(f"{line}\n" for line in _lines(message, ""))


def _lines(message: Message, indent: str) -> Iterator[str]:
    table = fields(message.DESCRIPTOR)
    for descriptor, value in message.ListFields():
        field = table[descriptor.name]
        for item in value if field.repeated else [value]:
            if field.message is None:
                yield f"{indent}{field.name}: {_literal(field, item)}"
            else:
                yield f"{indent}{field.name} {{"
                yield from _lines(item, indent + "  ")
                yield f"{indent}}}"


def _literal(field: Field, value: Any) -> str:
    if field.cpp_type == FieldDescriptor.CPPTYPE_FLOAT:
        return _shortest(value, "f", range(6, 9))
    if field.cpp_type == FieldDescriptor.CPPTYPE_DOUBLE:
        return _shortest(value, "d", range(15, 17))
    if field.cpp_type == FieldDescriptor.CPPTYPE_BOOL:
        return "true" if value else "false"
    if field.enum is not None and value in field.enum.values_by_number:
        return field.enum.values_by_number[value].name
    if field.is_bytes:
        chars = (_ESCAPES.get(byte, chr(byte) if byte < 127 else f"\\{byte:03o}") for byte in value)
        return f'"{"".join(chars)}"'
    if field.cpp_type == FieldDescriptor.CPPTYPE_STRING:
        return f'"{value.translate(_ESCAPES)}"'
    return str(value)


def _shortest(value: float, code: str, digits: range) -> str:
    """The number in the fewest decimal digits that name it; one more than the range always does."""
    for count in digits:
        text = f"{value:.{count}g}"
        if struct.unpack(code, struct.pack(code, float(text)))[0] == value:
            return text
    return f"{value:.{digits.stop}g}"
