"""The keys of CaffeOnSpark's SequenceFiles: what is known of a picture besides its bytes."""

from __future__ import annotations

from typing import Any, NamedTuple

from ..errors import DataError
from .java_objects import JavaClass, JavaObject, read_object, write_object

PAIR = "com.yahoo.ml.dl.caffe.Pair"


def _tuple(count: int, version: int) -> JavaClass:
    fields = tuple(("Ljava/lang/Object;", f"_{i}") for i in range(1, count + 1))
    return JavaClass(f"scala.Tuple{count}", version, fields)


# Versions of Scala 2.13, Spark's; a reader of ours does not look at them.
TUPLE2 = _tuple(2, 0x01FBDDCD22E7347A)
TUPLE6 = _tuple(6, 0x89E6CD0B84E7F030)


class SampleKey(NamedTuple):
    """A sample's name, its label, and for pictures that are not encoded, their shape.

    A height and a width of 0 say nothing; an encoded picture is a file, a JPEG or PNG.
    """

    id: str
    label: str
    channels: int = 1
    height: int = 0
    width: int = 0
    encoded: bool = True


def read_sample_key(data: bytes) -> SampleKey:
    """The key in a Java object: a Pair, a scala.Tuple2 or a scala.Tuple6. Raises DataError."""
    found = read_object(data)
    if not isinstance(found, JavaObject):
        raise DataError(f"a key that is a {type(found).__name__}, no pair or tuple")
    named = {PAIR: ("first", "second"), **{kind.name: _names(kind) for kind in (TUPLE2, TUPLE6)}}
    if found.class_name not in named:
        known = ", ".join(named)
        raise DataError(f"a key of class {found.class_name} (those that are read: {known})")
    values: list[Any] = [found.fields.get(name) for name in named[found.class_name]]
    name, label, *shape = values
    if not isinstance(name, str) or not isinstance(label, str):
        raise DataError(f"a {found.class_name} of {_types(values)}; its first two are Strings")
    if not shape:
        return SampleKey(name, label)
    *sizes, encoded = shape
    if type(encoded) is not bool or any(type(size) is not int for size in sizes):
        raise DataError(f"a scala.Tuple6 of {_types(values)}; (id, label, 3 Ints, Boolean) is read")
    channels, height, width = sizes
    if min(sizes) < 0 or max(sizes) >= 1 << 31:
        raise DataError(f"a picture of {channels} x {height} x {width}")
    return SampleKey(name, label, channels, height, width, encoded)


def write_sample_key(key: SampleKey) -> bytes:
    """The key as CaffeOnSpark's tools write it: a Tuple2 of an encoded picture, else a Tuple6.

    An encoded picture whose size is known is a Tuple6 too. Raises DataError for texts above 65535
    bytes.
    """
    if key.encoded and not key.height and not key.width:
        return write_object(TUPLE2, key[:2])
    return write_object(TUPLE6, key)


def _names(kind: JavaClass) -> tuple[str, ...]:
    return tuple(name for _, name in kind.fields)


def _types(values: list[Any]) -> str:
    return ", ".join(type(value).__name__ for value in values)
