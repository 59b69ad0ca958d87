"""New SequenceFiles of byte arrays, as CaffeOnSpark's tools and Spark write them."""

from __future__ import annotations

import os
import struct
from contextlib import ExitStack
from types import TracebackType
from typing import BinaryIO, Self

from ..errors import DataError
from ..machine.whole_file import whole_file
from .sequence_file import ESCAPE, MAGIC, SYNC_SIZE
from .sequence_parts import BYTES, CODECS, compressed, pack_bytes, pack_number, pack_text

COMPRESSIONS = ("NONE", "RECORD", "BLOCK")
SYNC_EVERY = 102_400  # bytes of records between two sync markers (Hadoop's)
BLOCK = 1_000_000  # bytes of keys and values before a block is written (Hadoop's)


class SequenceFileWriter:
    """A new SequenceFile, filled record by record; keys and values are BytesWritables.

    `compression` is NONE, RECORD (each value) or BLOCK (about a megabyte of keys and of values),
    `codec` DefaultCodec (zlib), GzipCodec or BZip2Codec. A context manager: when it is left, all of
    the file is at its place; after an exception nothing is.
    """

    def __init__(
        self,
        path: str | os.PathLike[str],
        compression: str = "NONE",
        codec: str = "DefaultCodec",
    ) -> None:
        if compression not in COMPRESSIONS:
            raise DataError(
                f"no compression '{compression}' (there are: {', '.join(COMPRESSIONS)})"
            )
        if codec not in CODECS:
            raise DataError(f"no codec '{codec}' (there are: {', '.join(CODECS)})")
        self.compression = compression
        self.codec = codec
        self._sync = os.urandom(SYNC_SIZE)
        self._keys: list[bytes] = []
        self._values: list[bytes] = []
        self._pending = 0
        self._open = ExitStack()
        beside = self._open.enter_context(whole_file(path, DataError))
        self._file: BinaryIO = self._open.enter_context(open(beside, "wb"))  # noqa: SIM115
        self._write_header()
        self._synced = self._file.tell()

    def _write_header(self) -> None:
        packed = self.compression != "NONE"
        self._file.write(MAGIC + pack_text(BYTES) + pack_text(BYTES))
        self._file.write(bytes([packed, self.compression == "BLOCK"]))
        if packed:
            self._file.write(pack_text(f"org.apache.hadoop.io.compress.{self.codec}"))
        self._file.write(struct.pack(">i", 0) + self._sync)

    def put(self, key: bytes, value: bytes) -> None:
        """Add a record. Raises DataError where the disk is full."""
        if self.compression == "BLOCK":
            self._keys.append(pack_bytes(key))
            self._values.append(pack_bytes(value))
            self._pending += len(key) + len(value)
            if self._pending >= BLOCK:
                self._write_block()
            return
        if self._file.tell() >= self._synced + SYNC_EVERY:
            self._write_sync()
            self._synced = self._file.tell()
        packed_key, packed = pack_bytes(key), pack_bytes(value)
        if self.compression == "RECORD":
            packed = compressed(self.codec, packed)
        lengths = struct.pack(">ii", len(packed_key) + len(packed), len(packed_key))
        self._file.write(lengths + packed_key + packed)

    def _write_sync(self) -> None:
        self._file.write(struct.pack(">i", ESCAPE) + self._sync)

    def _write_block(self) -> None:
        self._write_sync()
        self._file.write(pack_number(len(self._keys)))
        for rows in (self._keys, self._values):
            lengths = b"".join(pack_number(len(row)) for row in rows)
            for part in (lengths, b"".join(rows)):
                packed = compressed(self.codec, part)
                self._file.write(pack_number(len(packed)) + packed)
            rows.clear()
        self._pending = 0

    def close(self) -> None:
        """Write what is pending, and put the file to its place."""
        if self._keys:
            self._write_block()
        self._open.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if kind is None:
            self.close()
        else:
            self._open.__exit__(kind, error, trace)
