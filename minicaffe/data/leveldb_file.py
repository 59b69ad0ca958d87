"""LevelDB folders over plyvel: a reader that leaves them as they are, and a writer."""

import os
import re
import shutil
import stat
import sys
import tempfile
import weakref
from collections.abc import Iterator
from functools import cached_property
from pathlib import Path
from typing import Any, Self

from ..errors import DataError, extra

NAMES = ("CURRENT", "MANIFEST-")

# The same library under two names: pyproject.toml says which one has wheels for which Python.
LIBRARY = "plyvel" if sys.version_info < (3, 13) else "plyvel_next"


class LeveldbReader:
    """The records of a LevelDB, in key order.

    LevelDB takes a lock on a folder and rewrites part of it even to read. So what is opened is a
    temporary folder of links to the tables and copies of the rest: the original may be read-only,
    and may be open many times.
    """

    def __init__(self, path: str | os.PathLike[str]) -> None:
        self.path = Path(path)
        if not (self.path / "CURRENT").is_file():
            what = "has no file CURRENT" if self.path.is_dir() else "there is no such folder"
            hint = " (it looks like an LMDB)" if (self.path / "data.mdb").exists() else ""
            raise DataError(f"no LevelDB at {self.path}: {what}{hint}")
        plyvel = extra(LIBRARY, "leveldb", f"LevelDB {self.path}")
        self._view = tempfile.TemporaryDirectory(prefix="minicaffe-leveldb-")
        try:
            for entry in self.path.iterdir():
                _view(entry, Path(self._view.name) / entry.name)
            self._db: Any = plyvel.DB(self._view.name, paranoid_checks=True)
        except (plyvel.Error, OSError) as error:
            self._view.cleanup()
            raise DataError(f"cannot read LevelDB {self.path}: {error}") from error
        self._error = plyvel.Error
        self._closing = weakref.finalize(self, _close, self._db, self._view)  # without close(), too

    @cached_property
    def _keys(self) -> list[bytes]:
        return list(self._scan(include_value=False))

    def _scan(self, **options: Any) -> Iterator[Any]:
        try:
            yield from self._db.iterator(verify_checksums=True, **options)
        except self._error as error:
            raise DataError(f"LevelDB {self.path} is damaged: {error}") from error

    def __len__(self) -> int:
        """How many records there are (counted by one pass over the keys)."""
        return len(self._keys)

    def keys(self) -> Iterator[bytes]:
        """The keys, in order."""
        return iter(self._keys)

    def items(self, first: bytes = b"") -> Iterator[tuple[bytes, bytes]]:
        """(key, value) in key order, from the first key that is >= `first`."""
        return self._scan(start=first)

    __iter__ = items

    def get(self, key: bytes) -> bytes:
        """The value of a key; DataError when it is not there."""
        try:
            value = self._db.get(key, verify_checksums=True)
        except self._error as error:
            raise DataError(f"LevelDB {self.path} is damaged at key {key!r}: {error}") from error
        if value is None:
            raise DataError(f"LevelDB {self.path} has no key {key!r}")
        return bytes(value)

    def close(self) -> None:
        """Close it and remove the temporary folder; closing twice is harmless."""
        self._closing()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


def _close(db: Any, view: tempfile.TemporaryDirectory[str]) -> None:
    db.close()
    view.cleanup()


def _view(entry: Path, copy: Path) -> None:
    """Make a link to a table, a copy of what tells of tables; the rest is not LevelDB's."""
    is_table = entry.suffix in (".ldb", ".sst")
    if not is_table and entry.suffix != ".log" and not entry.name.startswith(NAMES):
        return
    if not stat.S_ISREG(entry.stat().st_mode):  # follows links: to an endless device, to a pipe
        raise OSError(f"{entry.name} is no regular file")
    if is_table:
        copy.symlink_to(entry.resolve())
        return
    if entry.name == "CURRENT" and not re.fullmatch(rb"MANIFEST-\d+\n", entry.read_bytes()[:99]):
        raise OSError("CURRENT names no file MANIFEST-NUMBER")
    shutil.copyfile(entry, copy)


class LeveldbWriter:
    """A new LevelDB, filled record by record; leaving it with an exception removes it."""

    COMMIT_EVERY = 1000

    def __init__(self, path: str | os.PathLike[str]) -> None:
        self.path = Path(path)
        plyvel = extra(LIBRARY, "leveldb", f"LevelDB {self.path}")
        if self.path.exists():
            raise DataError(f"{self.path} exists already: name a new database")
        try:
            # Block and buffer sizes are those of Caffe's tools.
            self._db = plyvel.DB(
                str(self.path),
                create_if_missing=True,
                error_if_exists=True,
                block_size=1 << 16,
                write_buffer_size=1 << 28,
            )
        except (plyvel.Error, OSError) as error:
            raise DataError(f"cannot make a database at {self.path}: {error}") from error
        self._batch = self._db.write_batch()
        self._pending = 0

    def put(self, key: bytes, value: bytes) -> None:
        """Add a record."""
        self._batch.put(key, value)
        self._pending += 1
        if self._pending == self.COMMIT_EVERY:
            self._commit()

    def _commit(self) -> None:
        self._batch.write()
        self._batch.clear()
        self._pending = 0

    def close(self) -> None:
        """Write what is pending and close."""
        self._commit()
        self._db.close()

    def discard(self) -> None:
        """Close and remove the database."""
        self._db.close()
        shutil.rmtree(self.path, ignore_errors=True)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *error: object) -> None:
        if error[0] is None:
            self.close()
        else:
            self.discard()
