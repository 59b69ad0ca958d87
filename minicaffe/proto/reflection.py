"""What the fields of a message type are, in the same words for every version of protobuf."""

import functools
from collections.abc import Iterable, Iterator
from typing import Any, NamedTuple

from google.protobuf.descriptor import Descriptor, EnumDescriptor, FieldDescriptor
from google.protobuf.descriptor_pb2 import DescriptorProto, FieldDescriptorProto


class Field(NamedTuple):
    """A field of a message type; `message` or `enum` is the type of its values, where one is."""

    name: str
    cpp_type: int  # FieldDescriptor.CPPTYPE_...; strings and bytes are both CPPTYPE_STRING
    is_bytes: bool
    repeated: bool
    required: bool
    message: Descriptor | None
    enum: EnumDescriptor | None


@functools.cache
def fields(descriptor: Descriptor) -> dict[str, Field]:
    """The fields of a message type by name, in the order of the schema."""
    proto = DescriptorProto()
    descriptor.CopyToProto(proto)
    labels = {field.name: field.label for field in proto.field}
    return {
        field.name: Field(
            name=field.name,
            cpp_type=field.cpp_type,
            is_bytes=field.type == FieldDescriptor.TYPE_BYTES,
            repeated=labels[field.name] == FieldDescriptorProto.LABEL_REPEATED,
            required=labels[field.name] == FieldDescriptorProto.LABEL_REQUIRED,
            message=field.message_type,
            enum=field.enum_type,
        )
        for field in descriptor.fields
    }


@functools.cache
def required(descriptor: Descriptor) -> tuple[str, ...]:
    """The names of a message type's required fields."""
    return tuple(field.name for field in fields(descriptor).values() if field.required)


def given_fields(param: Any, paths: Iterable[str]) -> Iterator[tuple[Any, str]]:
    """Those of the fields "message.field" that a message gives: the message inside it, the name.

    A message may be in another, and there may be many of it: "cos_data_param.top.name".
    """
    for path in paths:
        *holders, field = path.split(".")
        for message in _given_messages(param, holders):
            if getattr(message, field):
                yield message, field


def _given_messages(message: Any, names: list[str]) -> Iterator[Any]:
    """The messages that a path of names leads to."""
    if not names:
        yield message
        return
    held = getattr(message, names[0])
    if not fields(message.DESCRIPTOR)[names[0]].repeated:
        held = [held] if message.HasField(names[0]) else []
    for each in held:
        yield from _given_messages(each, names[1:])
