"""Databases of records: `open_database(path, "lmdb")`, `create_database(path, "leveldb")`.

A record is a key and a value, nearly always a serialised `Datum`. Readers and writers of both kinds
have the same methods, those of the two protocols below.
"""

import contextlib
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Protocol, Self

from google.protobuf.message import DecodeError

from ..errors import DataError
from ..machine.file_system import (
    Entry,
    download,
    entry_of,
    exists,
    files_in,
    is_far,
    local_path,
)
from ..machine.host_copy import host_copy
from ..proto import minicaffe_pb2 as pb

BACKENDS = ("lmdb", "leveldb")
LOCKS = ("lock.mdb", "LOCK")  # files of databases that hold no data


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


def look_at_far(url: str) -> list[Entry]:
    """The files of a database at a far URL, a folder's or one. DataError where there are none."""
    files = files_in(url) or ([entry_of(url)] if exists(url) else [])
    kept = [each for each in files if each.name not in LOCKS]
    if not kept:
        raise DataError(f"no database at {url}: there is nothing of that name")
    return kept


@contextlib.contextmanager
def database_at_hand(url: str) -> Iterator[str]:
    """The path of a database for the length of a `with` block; a far one's is that of a copy.

    Raises DataError.
    """
    if not is_far(url):
        yield local_path(url)
        return
    files = look_at_far(url)
    alone = len(files) == 1 and files[0].name == url.rpartition("/")[2]

    def bring(path: Path) -> None:
        if alone:
            download(url, path)
            return
        path.mkdir()
        for each in files:
            download(f"{url.rstrip('/')}/{each.name}", path / each.name)

    version = " ".join(f"{each.name}:{each.version}" for each in files)
    with host_copy(url, version, sum(each.size for each in files), bring) as copy:
        yield str(copy)


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
