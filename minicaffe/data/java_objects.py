"""Objects as java.io.ObjectOutputStream writes them: strings, boxed numbers, plain classes of them.

The format is that of the "Java Object Serialization Specification", chapter 6: a tree of tagged
objects, where what was written before is referred to by its number, and each class is described
once, by its name, a 64-bit version and its fields. Nothing of it is ever run.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, NamedTuple

from ..errors import DataError

MAGIC = b"\xac\xed\x00\x05"
NULL, REFERENCE, CLASS, OBJECT, STRING, END, LONG_STRING = 0x70, 0x71, 0x72, 0x73, 0x74, 0x78, 0x7C
SERIALIZABLE = 0x02  # a class's flags: it writes its fields, and nothing else
FIRST_NUMBER = 0x7E0000
DEEPEST = 8  # objects in objects, and classes above classes

PRIMITIVES = {"B": ">b", "D": ">d", "F": ">f", "I": ">i", "J": ">q", "S": ">h", "Z": ">?"}
BOXES = tuple(
    f"java.lang.{name}"
    for name in ("Boolean", "Byte", "Double", "Float", "Integer", "Long", "Short")
)


class JavaObject(NamedTuple):
    """An object of any class but the boxes of primitive values, which become those values."""

    class_name: str
    fields: dict[str, Any]


@dataclass(frozen=True)
class JavaClass:
    """A class: its fields are primitive ("I", "Z" ...) or, as "L...;", objects."""

    name: str
    version: int  # serialVersionUID, 64 bits
    fields: tuple[tuple[str, str], ...]  # type and name
    parent: JavaClass | None = None
    flags: int = SERIALIZABLE

    def lineage(self) -> list[JavaClass]:
        """The classes above it, from the first, and itself: the order of an object's values."""
        above = self.parent.lineage() if self.parent else []
        return [*above, self]


def read_object(data: bytes) -> Any:
    """The object: a str, int, float, bool, None or JavaObject. Raises DataError, with the byte."""
    reader = _Reader(data)
    if reader.take(len(MAGIC)) != MAGIC:
        raise DataError("no Java object: it does not begin with AC ED 00 05")
    try:
        return reader.object(0)
    except UnicodeDecodeError as error:
        raise reader.error(f"a text that is none: {error.reason}") from error


class _Reader:
    def __init__(self, data: bytes) -> None:
        self.data = data
        self.at = 0
        self.seen: list[Any] = []  # what REFERENCE counts: classes, objects, strings

    def error(self, what: str) -> DataError:
        return DataError(f"a Java object that cannot be read, at byte {self.at}: {what}")

    def take(self, count: int) -> bytes:
        piece = self.data[self.at : self.at + count]
        if len(piece) < count:
            raise self.error("it ends too early")
        self.at += count
        return piece

    def number(self, form: str) -> Any:
        try:
            (found,) = struct.unpack_from(form, self.data, self.at)
        except struct.error:
            raise self.error("it ends too early") from None
        self.at += struct.calcsize(form)
        return found

    def text(self, form: str = ">H") -> str:
        """A length and so many bytes of Java's own UTF-8."""
        raw = self.take(self.number(form))
        if raw.isascii():
            return raw.decode()
        units = raw.replace(b"\xc0\x80", b"\0").decode("utf-8", "surrogatepass")
        return units.encode("utf-16", "surrogatepass").decode("utf-16")

    def seen_before(self) -> Any:
        number = self.number(">I") - FIRST_NUMBER
        if not 0 <= number < len(self.seen):
            raise self.error(f"it refers to object {number} of {len(self.seen)}")
        return self.seen[number]

    def object(self, depth: int) -> Any:
        tag = self.number("B")
        if tag == NULL:
            return None
        if tag == REFERENCE:
            return self.seen_before()
        if tag in (STRING, LONG_STRING):
            text = self.text(">H" if tag == STRING else ">Q")
            self.seen.append(text)
            return text
        if tag != OBJECT or depth == DEEPEST:
            what = f"objects in objects, {depth} deep" if tag == OBJECT else f"tag 0x{tag:02x}"
            raise self.error(f"{what}: not what a sample's key has in it")
        kind = self.description(0)
        if kind is None:
            raise self.error("an object without a class")
        number = len(self.seen)
        self.seen.append(None)
        fields = dict(self.values(kind, depth))
        found = fields.get("value") if kind.name in BOXES else JavaObject(kind.name, fields)
        self.seen[number] = found
        return found

    def values(self, kind: JavaClass, depth: int) -> Iterator[tuple[str, Any]]:
        for part in kind.lineage():
            if part.flags != SERIALIZABLE:
                raise self.error(f"class {part.name} writes itself in a way of its own")
            for code, name in part.fields:
                if code in PRIMITIVES:
                    yield name, self.number(PRIMITIVES[code])
                else:
                    yield name, self.object(depth + 1)

    def description(self, depth: int) -> JavaClass | None:
        tag = self.number("B")
        if tag == NULL:
            return None
        if tag == REFERENCE:
            found = self.seen_before()
            if not isinstance(found, JavaClass):
                raise self.error("a class is expected, it refers to something else")
            return found
        if tag != CLASS or depth == DEEPEST:
            raise self.error(f"a class is expected, not tag 0x{tag:02x}, {depth} classes deep")
        name, version = self.text(), self.number(">Q")
        place = len(self.seen)
        self.seen.append(None)
        flags = self.number("B")
        fields = tuple(self.field() for _ in range(self.number(">H")))
        if self.number("B") != END:
            raise self.error(f"class {name} has notes")
        found = JavaClass(name, version, fields, self.description(depth + 1), flags)
        self.seen[place] = found
        return found

    def field(self) -> tuple[str, str]:
        code, name = self.take(1).decode("latin-1"), self.text()
        if code == "L":
            code = self.object(DEEPEST)  # the type's name, a string
        elif code not in PRIMITIVES:
            raise self.error(f"field {name} is of type {code!r}")
        return str(code), name


# --- writing -------------------------------------------------------------------------------------

NUMBER = JavaClass("java.lang.Number", 0x86AC951D0B94E08B, ())
INTEGER = JavaClass("java.lang.Integer", 0x12E2A0A4F7818738, (("I", "value"),), NUMBER)
BOOLEAN = JavaClass("java.lang.Boolean", 0xCD207280D59CFAEE, (("Z", "value"),))


def write_object(kind: JavaClass, values: tuple[str | int | bool, ...]) -> bytes:
    """An object of a class whose fields are strings, Integers and Booleans, in their order.

    Raises DataError for a text of more than 65535 bytes, and for what is no number of 32 bits.
    """
    writer = _Writer()
    writer.begin_object(kind)
    for value in values:
        writer.value(value)
    return MAGIC + bytes(writer.out)


class _Writer:
    def __init__(self) -> None:
        self.out = bytearray()
        self.numbers: dict[object, int] = {}  # of what may be referred to: not of strings
        self.count = 0

    def text(self, text: str) -> None:
        units = text.encode("utf-16-le", "surrogatepass")
        points = map(chr, struct.unpack(f"<{len(units) // 2}H", units))
        raw = "".join(points).encode("utf-8", "surrogatepass").replace(b"\0", b"\xc0\x80")
        if len(raw) > 0xFFFF:
            raise DataError(f"a text of {len(raw)} bytes; a sample's key has 65535 at most")
        self.out += struct.pack(">H", len(raw)) + raw

    def once(self, what: object) -> bool:
        """Refer to what was written before; True if it was not."""
        known = self.numbers.get(what)
        if known is not None:
            self.out += struct.pack(">BI", REFERENCE, FIRST_NUMBER + known)
            return False
        self.numbers[what] = self.count
        self.count += 1
        return True

    def begin_object(self, kind: JavaClass) -> None:
        self.out.append(OBJECT)
        self.description(kind)
        self.count += 1

    def description(self, kind: JavaClass | None) -> None:
        if kind is None:
            self.out.append(NULL)
            return
        if not self.once(kind):
            return
        self.out.append(CLASS)
        self.text(kind.name)
        self.out += struct.pack(">QBH", kind.version, kind.flags, len(kind.fields))
        for code, name in kind.fields:
            self.out += code[0].encode()
            self.text(name)
            if code not in PRIMITIVES and self.once(code):
                self.out.append(STRING)
                self.text(code)
        self.out.append(END)
        self.description(kind.parent)

    def value(self, value: str | int | bool) -> None:
        if isinstance(value, str):
            self.out.append(STRING)
            self.text(value)
            self.count += 1
            return
        kind = BOOLEAN if isinstance(value, bool) else INTEGER
        if not -(2**31) <= value < 2**31:
            raise DataError(f"{value} is no number of 32 bits")
        if (kind, value) in self.numbers:  # Java has one object for it
            self.once((kind, value))
            return
        self.begin_object(kind)
        if -128 <= value < 128:
            self.numbers[kind, value] = self.count - 1
        self.out += struct.pack(PRIMITIVES[kind.fields[0][0]], value)
