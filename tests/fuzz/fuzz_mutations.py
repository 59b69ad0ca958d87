"""Damage for the fuzzer: bytes, prototxt and messages, changed as a generator says."""

import random
import re
from collections.abc import Iterator
from typing import Any

from google.protobuf.descriptor import FieldDescriptor as Field
from google.protobuf.message import Message

from minicaffe.layer import layer_type_list
from minicaffe.proto import minicaffe_pb2 as pb

NUMBERS = (
    "0", "1", "-1", "2", "3", "5", "7", "100", "255", "256", "32767", "65535", "65536", "1000000",
    "46341", "2147483647", "-2147483648", "2147483648", "4294967295", "4294967296",
    "9223372036854775807", "-9223372036854775808", "18446744073709551615", "0.5", "-0.0", "1e-45",
    "1e38", "3.4e38", "1e400", "nan", "inf", "-inf", "0x7fffffff", "017", "1e5",
)  # fmt: skip
INTEGERS = sorted({int(text) for text in NUMBERS if re.fullmatch(r"-?\d+", text)})
REALS = (0.0, -0.0, 1.0, -1.0, 0.5, 1e-45, 1e-30, 1e38, float("inf"), float("-inf"), float("nan"))
WORDS = (
    "", "x", "y", "a", "b", "label", "data", "conv", "ip", "loss", "gaussian", "xavier", "msra",
    "bilinear", "constant", "uniform", "positive_unitball", "nothing", "\0", "ä\n", "../x", "/",
    "SGD", "Adam", "step", "multistep", "poly", "L1", "L2",
)  # fmt: skip
BYTES = (0, 1, 0x7F, 0x80, 0xFF, 0x08, 0x0A, 0x12)
TOKEN = re.compile(rb'"[^"\n]*"|[\w.+-]+|[{}:\[\]<>,;]')
INTEGER_RANGES = {
    Field.CPPTYPE_INT32: (-(2**31), 2**31 - 1),
    Field.CPPTYPE_UINT32: (0, 2**32 - 1),
    Field.CPPTYPE_INT64: (-(2**63), 2**63 - 1),
    Field.CPPTYPE_UINT64: (0, 2**64 - 1),
}


def schema_words() -> list[str]:
    """Names of fields, enum values and layer types."""
    words = set(layer_type_list())
    for message in pb.DESCRIPTOR.message_types_by_name.values():
        words.update(field.name for field in message.fields)
        for enum in message.enum_types:
            words.update(value.name for value in enum.values)
    return sorted(words)


def bytes_changed(data: bytes, chance: random.Random) -> bytes:
    """A few bytes flipped, overwritten, cut out, put in or repeated; or the end cut off."""
    changed = bytearray(data)
    for _ in range(chance.choice((1, 1, 1, 2, 3, 8))):
        size = len(changed)
        if size == 0:
            return bytes(chance.choices(range(256), k=5))
        at = chance.randrange(size)
        # Headers and lengths are at the beginning of files.
        if chance.random() < 0.3:
            at = chance.randrange(min(size, 128))
        kind = chance.randrange(8)
        if kind == 0:
            changed[at] ^= 1 << chance.randrange(8)
        elif kind == 1:
            changed[at] = chance.choice(BYTES)
        elif kind == 2:
            width = chance.choice((1, 2, 4, 8))
            number = chance.choice(INTEGERS) & ((1 << 8 * width) - 1)
            changed[at : at + width] = number.to_bytes(width, "little")
        elif kind == 3:
            del changed[at:]
        elif kind == 4:
            del changed[at : at + chance.choice((1, 2, 4, 8, 64))]
        elif kind == 5:
            changed[at:at] = bytes(chance.choices(range(256), k=chance.choice((1, 2, 4, 16))))
        elif kind == 6:
            other = chance.randrange(size)
            length = chance.choice((1, 4, 8, 32))
            changed[at : at + length] = changed[other : other + length]
        else:
            changed[at] = chance.randrange(256)
    return bytes(changed)


def text_changed(data: bytes, chance: random.Random, words: list[str]) -> bytes:
    """Prototxt with tokens replaced, deleted, repeated, exchanged or put in."""
    for _ in range(chance.choice((1, 1, 2, 3))):
        places = [match.span() for match in TOKEN.finditer(data)]
        if not places:
            return data
        start, end = chance.choice(places)
        kind = chance.randrange(7)
        token = data[start:end]
        if kind == 0:
            numbers = [place for place in places if data[place[0] : place[1]].isdigit()]
            start, end = chance.choice(numbers or places)
            new = chance.choice(NUMBERS).encode()
        elif kind == 1:
            word = chance.choice(words)
            new = f'"{word}"'.encode() if token.startswith(b'"') else word.encode()
        elif kind == 2:
            new = b""
            end = chance.choice(places)[1] if chance.random() < 0.3 else end
        elif kind == 3:
            new = token + b" " + token
        elif kind == 4:
            other = chance.choice(places)
            new = data[other[0] : other[1]]
        elif kind == 5:
            new = f"{token.decode('latin-1')} {chance.choice(words)}: ".encode("latin-1")
            new += chance.choice(NUMBERS).encode()
        else:
            lines = data.split(b"\n")
            new = token + b"\n" + chance.choice(lines) + b"\n"
        data = data[:start] + new + data[max(start, end) :]
    return data


def message_changed(message: Message, chance: random.Random) -> None:
    """A few fields of a message, or of messages in it, set to other values."""
    for _ in range(chance.choice((1, 1, 2, 3))):
        inner = list(_messages(message))
        target = chance.choice(inner)
        there = [descriptor for descriptor, _ in target.ListFields()]
        every = list(target.DESCRIPTOR.fields)
        if not every:
            continue
        field = chance.choice(there if there and chance.random() < 0.6 else every)
        _change_field(target, field, chance)


def _messages(message: Message) -> Iterator[Message]:
    yield message
    for field, value in message.ListFields():
        if field.cpp_type == Field.CPPTYPE_MESSAGE:
            for each in value if field.is_repeated else [value]:
                yield from _messages(each)


def _change_field(message: Message, field: Any, chance: random.Random) -> None:
    values = getattr(message, field.name)
    if field.cpp_type == Field.CPPTYPE_MESSAGE:
        _change_message(message, field, values, chance)
    elif not field.is_repeated:
        if chance.random() < 0.15:
            message.ClearField(field.name)
        else:
            setattr(message, field.name, _value(field, values, chance))
    elif values and chance.random() < 0.3:
        del values[chance.randrange(len(values)) :]
    elif values and chance.random() < 0.6:
        at = chance.randrange(len(values))
        values[at] = _value(field, values[at], chance)
    else:
        values.append(_value(field, None, chance))


def _change_message(message: Message, field: Any, values: Any, chance: random.Random) -> None:
    if not field.is_repeated:
        if message.HasField(field.name) and chance.random() < 0.5:
            message.ClearField(field.name)
        else:
            values.SetInParent()
    elif not values:
        values.add()
    elif chance.random() < 0.5:
        del values[chance.randrange(len(values))]
    else:
        values.add().CopyFrom(chance.choice(list(values)))


def _value(field: Any, old: Any, chance: random.Random) -> Any:
    kind = field.cpp_type
    if kind in INTEGER_RANGES:
        low, high = INTEGER_RANGES[kind]
        near = [number + (old or 0) for number in (-2, -1, 1, 2)]
        numbers = near if chance.random() < 0.3 else INTEGERS
        return chance.choice([number for number in numbers if low <= number <= high] or [low])
    if kind in (Field.CPPTYPE_FLOAT, Field.CPPTYPE_DOUBLE):
        return chance.choice(REALS)
    if kind == Field.CPPTYPE_BOOL:
        return chance.random() < 0.5
    if kind == Field.CPPTYPE_ENUM:
        return chance.choice(field.enum_type.values).number
    if field.type == Field.TYPE_BYTES:
        return bytes_changed(old or b"", chance)
    if field.name == "type" and chance.random() < 0.7:
        return chance.choice(layer_type_list())
    return chance.choice(WORDS)
