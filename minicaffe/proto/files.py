"""Files of messages, text and binary: upgraded as they are read, written whole or not at all."""

import logging
from collections.abc import Iterable
from os import PathLike
from pathlib import Path
from typing import TypeVar

from google.protobuf.message import DecodeError, EncodeError, Message

from minicaffe.errors import ParseError, SnapshotError
from minicaffe.machine.whole_file import whole_file

from . import minicaffe_pb2 as pb
from .blob_proto import array_to_blob_proto, blob_from_proto, blob_shape, shape_matches
from .places import keep_places
from .reflection import fields, required
from .text import format_text, read_text, read_text_and_places
from .upgrade import upgrade_net, upgrade_solver

__all__ = [
    "array_to_blob_proto",
    "blob_from_proto",
    "blob_shape",
    "read_binary",
    "read_net",
    "read_net_binary",
    "read_solver",
    "read_text",
    "shape_matches",
    "write_binary",
    "write_text",
]

M = TypeVar("M", bound=Message)
Name = str | PathLike[str]

log = logging.getLogger("minicaffe.proto")


def read_net(path: Name) -> pb.NetParameter:
    """A net from prototxt, in today's form; ParseError if it cannot be read or upgraded."""
    net = pb.NetParameter()
    places = read_text_and_places(path, net)
    read = list(zip(_layer_names(net), places, strict=False))
    _tell(path, upgrade_net(net, str(path)))
    keep_places(net, read)
    return net


def read_solver(path: Name) -> pb.SolverParameter:
    """A solver from prototxt, in today's form; ParseError if it cannot be read or upgraded.

    snapshot_prefix, where unset, is the path without its extension (`upgrade_solver`).
    """
    solver = pb.SolverParameter()
    places = read_text_and_places(path, solver)
    given = ("net_param", "train_net_param")
    nets = [getattr(solver, name) for name in given if solver.HasField(name)]
    nets += solver.test_net_param
    read = [list(zip(_layer_names(net), places, strict=False)) for net in nets]
    _tell(path, upgrade_solver(solver, path))
    if len(nets) == 1:  # of several the text's order is not known
        keep_places(nets[0], read[0])
    return solver


def _layer_names(net: pb.NetParameter) -> list[str]:
    """The names of a net's layers in whatever form, in their order."""
    return [layer.name or layer.layer.name for layer in net.layers] or [
        layer.name for layer in net.layer
    ]


def read_net_binary(path: Name) -> pb.NetParameter:
    """A net with weights (.caffemodel), in today's form, of any size that protobuf holds.

    Raises ParseError, naming the file, if it cannot be read, is truncated, or is something else.
    At no time are there more than two copies of the numbers in memory.
    """
    net = read_binary(path, pb.NetParameter())
    if not net.layer and not net.layers:
        raise ParseError(f"{path}: holds no layers: not a NetParameter")
    _tell(path, upgrade_net(net, str(path)))
    return net


def read_binary(path: Name, message: M) -> M:
    """Fill `message` from a binary file and return it.

    Raises ParseError if the file cannot be read, is truncated, or holds something else.
    """
    kind = message.DESCRIPTOR.name
    try:
        data = Path(path).read_bytes()
    except OSError as problem:
        raise ParseError(f"{path}: cannot be read: {problem.strerror}") from problem
    if not data:
        raise ParseError(f"{path}: an empty file where a {kind} was expected")
    if data.startswith(b"\x89HDF"):
        raise ParseError(f"{path}: an HDF5 file where a binary {kind} was expected")
    try:
        message.ParseFromString(data)
        del data
        _check(message)
    except (DecodeError, UnicodeDecodeError) as problem:
        raise ParseError(f"{path}: truncated, or not a {kind} ({problem})") from problem
    return message


def write_binary(path: Name, message: Message) -> None:
    """Write a message so that the file is complete or as it was.

    Raises SnapshotError if the folder cannot be written or the message has no binary form.
    """
    try:
        data = message.SerializeToString()
    except (EncodeError, ValueError) as problem:
        raise SnapshotError(f"{path}: cannot be written: {problem}") from problem
    with whole_file(path, SnapshotError) as beside:
        beside.write_bytes(data)


def write_text(path: Name, message: Message) -> None:
    """Write a message as prototxt so that the file is complete or as it was.

    Raises SnapshotError if the folder cannot be written.
    """
    with whole_file(path, SnapshotError) as beside:
        beside.write_bytes(format_text(message).encode("utf-8"))


def _check(message: Message) -> None:
    """Raise DecodeError for what protobuf lets pass: missing required fields, broken strings."""
    if isinstance(message, pb.BlobProto):
        return  # numbers alone
    name, table = message.DESCRIPTOR.name, fields(message.DESCRIPTOR)
    for required_name in required(message.DESCRIPTOR):
        if not message.HasField(required_name):
            raise DecodeError(f"{name} has no {required_name}")
    for descriptor, value in message.ListFields():
        field = table[descriptor.name]
        for item in value if field.repeated else [value]:
            if field.message is not None:
                _check(item)
            elif isinstance(item, bytes) and not field.is_bytes:
                raise DecodeError(f"the {field.name} of a {name} is not UTF-8")
            elif isinstance(item, str) and "\0" in item:  # names, and paths: there it would end
                raise DecodeError(f"the {field.name} of a {name} holds a NUL character")


def _tell(path: Name, notes: Iterable[str]) -> None:
    for note in notes:
        log.info("%s: %s", path, note)
