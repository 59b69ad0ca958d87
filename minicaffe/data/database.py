"""Databases of records: `open_database(path, "lmdb")`, `create_database(path, "leveldb")`.

A record is a key and a value, nearly always a serialised `Datum`. Readers and writers of both kinds
have the same methods, those of the two protocols below.
"""

import os
from collections.abc import Iterator
from typing import Protocol, Self

from google.protobuf.message import DecodeError

from ..errors import DataError
from ..proto import minicaffe_pb2 as pb

BACKENDS = ("lmdb", "leveldb")


class Reader(Protocol):
    """Records in key order; DataError for what is missing or damaged."""

    def __len__(self) -> int: ...
    def keys(self) -> Iterator[bytes]: ...
    def items(self, first: bytes = b"") -> Iterator[tuple[bytes, bytes]]: ...
    def get(self, key: bytes) -> bytes: ...
    def close(self) -> None: ...
    def __enter__(self) -> Self: ...
    def __exit__(self, *_: object) -> None: ...


class Writer(Protocol):
    """A new database; leaving it as a context manager with an exception removes it."""

    def put(self, key: bytes, value: bytes) -> None: ...
    def close(self) -> None: ...
    def __enter__(self) -> Self: ...
    def __exit__(self, *_: object) -> None: ...


def open_database(path: str | os.PathLike[str], backend: str = "lmdb") -> Reader:
    """Open a database for reading; `backend` is "lmdb" or "leveldb"."""
    if _checked(backend) == "lmdb":
        from .lmdb_file import LmdbReader

        return LmdbReader(path)
    from .leveldb_file import LeveldbReader

    return LeveldbReader(path)


def create_database(path: str | os.PathLike[str], backend: str = "lmdb") -> Writer:
    """Make a new database, at a path where there is nothing yet."""
    if _checked(backend) == "lmdb":
        from .lmdb_writer import LmdbWriter

        return LmdbWriter(path)
    from .leveldb_file import LeveldbWriter

    return LeveldbWriter(path)


def _checked(backend: str) -> str:
    if backend.lower() not in BACKENDS:
        raise DataError(f"no database backend '{backend}' (there are: {', '.join(BACKENDS)})")
    return backend.lower()


def parse_datum(value: bytes, key: bytes, path: str | os.PathLike[str]) -> pb.Datum:
    """The Datum of a record; DataError names the key of one that is none.

    Checks that an image that is not encoded has as many values as its dimensions say.
    """
    datum = pb.Datum()
    try:
        datum.ParseFromString(value)
    except DecodeError as error:
        raise DataError(f"the record of key {key!r} in {path} is no Datum: {error}") from error
    wanted = datum.channels * datum.height * datum.width
    found = len(datum.data) or len(datum.float_data)
    if not datum.encoded and wanted != found:
        shape = f"{datum.channels} x {datum.height} x {datum.width}"
        raise DataError(f"the record of key {key!r} in {path}: {shape} image of {found} values")
    return datum
