"""New LMDB files, written by the package lmdb."""

import os
import shutil
from pathlib import Path
from typing import Self

from ..errors import DataError


class LmdbWriter:
    """A new LMDB, filled record by record, as Caffe's tools make them.

    A context manager: leaving it with an exception removes what was written. The path must be new.
    """

    COMMIT_EVERY = 1000
    FIRST_MAP_SIZE = 1 << 26

    def __init__(self, path: str | os.PathLike[str]) -> None:
        import lmdb

        self.path = Path(path)
        self._library = lmdb
        self._pending: list[tuple[bytes, bytes]] = []
        self._last = b""
        try:
            self.path.mkdir()
        except FileExistsError:
            raise DataError(f"{self.path} exists already: name a new database") from None
        except OSError as error:
            raise DataError(f"cannot make a database at {self.path}: {error.strerror}") from error
        # One sync at the end instead of one a commit: a half-written database is removed anyway.
        self._environment = lmdb.open(
            str(self.path), map_size=self.FIRST_MAP_SIZE, sync=False, mode=0o664
        )

    def put(self, key: bytes, value: bytes) -> None:
        """Add a record. A key may come once; keys in rising order make the smallest file."""
        self._pending.append((key, value))
        if len(self._pending) >= self.COMMIT_EVERY:
            self._commit()

    def _commit(self) -> None:
        while True:
            try:
                last = self._last
                with self._environment.begin(write=True) as transaction:
                    for key, value in self._pending:
                        rising = key > last
                        if not transaction.put(key, value, overwrite=False, append=rising):
                            raise DataError(f"key {key!r} comes twice in {self.path}")
                        last = max(last, key)
            except self._library.MapFullError:
                self._environment.set_mapsize(2 * self._environment.info()["map_size"])
            except self._library.Error as error:
                raise DataError(f"cannot write to LMDB {self.path}: {error}") from error
            else:
                self._last = last
                self._pending.clear()
                return

    def close(self) -> None:
        """Write what is pending, wait for the disk, and close."""
        self._commit()
        self._environment.sync(True)
        self._environment.close()

    def discard(self) -> None:
        """Close and remove the database."""
        self._environment.close()
        shutil.rmtree(self.path, ignore_errors=True)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *error: object) -> None:
        if error[0] is not None:
            self.discard()
            return
        try:
            self.close()
        except BaseException:
            self.discard()
            raise
