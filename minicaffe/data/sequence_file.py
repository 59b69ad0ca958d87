"""Hadoop's SequenceFiles, version 6: keys and values, plain or compressed one by one or in blocks.

    file    "SEQ" 6, class of keys, class of values, compressed?, in blocks?, [codec], metadata,
            16 bytes of a sync marker, and then records or blocks
    record  its length, the key's length, key, value; of these, the value may be compressed
    block   how many records, and, compressed each: lengths of keys, keys, lengths of values, values

A length of -1 and the sync marker stand before every block, and before a record now and then.
Lengths of records are 4 bytes, others are Hadoop's numbers of 1 to 9 bytes.
"""

from __future__ import annotations

import os
from collections import OrderedDict
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO, NamedTuple, Self

from ..errors import DataError
from .sequence_parts import (
    BYTES,
    CODECS,
    TEXT,
    expanded,
    number_size,
    plain_value,
    unpack_number,
    unpack_numbers,
)

MAGIC = b"SEQ\x06"
SYNC_SIZE = 16
ESCAPE = -1  # a length before a sync marker
LONGEST = 1 << 30  # bytes of a record, or of a part of a block
MOST_RECORDS = 1 << 24  # in a block
MOST_METADATA = 1 << 10
LONGEST_TEXT = 1 << 16  # in the header
KEPT = 256 << 20  # bytes of values of blocks


class Record(NamedTuple):
    """A key, and where its value is: at a byte of the file, or in the block that is there."""

    key: bytes
    offset: int
    size: int  # of the value as it is stored; in a block, unpacked
    row: int = 0  # in its block


class Blocks:
    """The values of the blocks that were read last, of one file or of several: 256 MB of them."""

    def __init__(self) -> None:
        self._values: OrderedDict[tuple[Path, int], list[bytes]] = OrderedDict()
        self._size = 0

    def get(self, path: Path, offset: int) -> list[bytes] | None:
        """The values of the block that begins there, if they are still here."""
        found = self._values.get((path, offset))
        if found is not None:
            self._values.move_to_end((path, offset))
        return found

    def keep(self, path: Path, offset: int, values: list[bytes]) -> None:
        """Keep them, and let go of those that were not asked for for the longest time."""
        self._values[path, offset] = values
        self._size += sum(map(len, values))
        while self._size > KEPT and len(self._values) > 1:
            _, oldest = self._values.popitem(last=False)
            self._size -= sum(map(len, oldest))


class SequenceFileReader:
    """The records of one SequenceFile, in its order, whose keys and values are bytes or texts.

    `records()` goes through the file once and leaves values unread; `value(record)` reads one,
    from any place. Blocks stay unpacked in `blocks` for a while, which several files may share. A
    damaged file is a DataError, with its name and the byte.
    """

    def __init__(self, path: str | os.PathLike[str], blocks: Blocks | None = None) -> None:
        self.path = Path(path)
        try:
            self._file: BinaryIO = open(self.path, "rb")  # noqa: SIM115 closed in close()
        except OSError as error:
            raise DataError(f"cannot read SequenceFile {path}: {error.strerror}") from error
        self._size = self._file.seek(0, os.SEEK_END)
        self._blocks = blocks or Blocks()
        try:
            self._read_header()
        except BaseException:
            self.close()
            raise

    def _read_header(self) -> None:
        self._file.seek(0)
        found = self._file.read(len(MAGIC))
        if found[:3] != MAGIC[:3]:
            raise DataError(f"{self.path} is no SequenceFile: it does not begin with SEQ")
        if found != MAGIC:
            version = found[3] if len(found) > 3 else "none"
            raise DataError(f"{self.path} is a SequenceFile of version {version}, only 6 is read")
        self.key_class, self.value_class = self._text(), self._text()
        for what, name in (("keys", self.key_class), ("values", self.value_class)):
            if name not in (BYTES, TEXT):
                raise self._damage(f"{what} of class {name}; BytesWritable and Text are read")
        self.compressed, self.in_blocks = (flag != 0 for flag in self._take(2))
        self.codec = self._text().rpartition(".")[2] if self.compressed else ""
        if self.compressed and self.codec not in CODECS:
            raise self._damage(f"compressed by {self.codec} (what is read: {', '.join(CODECS)})")
        if self.in_blocks and not self.compressed:
            raise self._damage("blocks that are not compressed")
        for _ in range(2 * self._check("pairs of metadata", self._integer(), MOST_METADATA)):
            self._text()
        self._sync = self._take(SYNC_SIZE)
        self._first = self._file.tell()

    def records(self) -> Iterator[Record]:
        """All records in the order of the file: one pass over its keys."""
        at = self._first
        while at < self._size:
            self._file.seek(at)
            if self.in_blocks:
                found, at = self._keys_of_block()
                yield from found
                continue
            length = self._integer()
            if length == ESCAPE:
                self._expect_sync()
                at = self._file.tell()
                continue
            self._check("bytes of a record", length, LONGEST)
            key = self._take(self._check("bytes of a key", self._integer(), length))
            offset = self._file.tell()
            size = length - len(key)
            at = offset + size
            if at > self._size:
                raise self._damage(f"a value of {size} bytes is cut short")
            yield Record(self._plain(self.key_class, key), offset, size)

    def value(self, record: Record) -> bytes:
        """The value of a record that `records` gave."""
        if self.in_blocks:
            return self._block(record)[record.row]
        self._file.seek(record.offset)
        stored = self._take(record.size)
        if self.compressed:
            stored = self._expanded(stored, LONGEST)
        return self._plain(self.value_class, stored)

    def items(self) -> Iterator[tuple[bytes, bytes]]:
        """(key, value), in the order of the file."""
        for record in self.records():
            yield record.key, self.value(record)

    def close(self) -> None:
        """Close the file."""
        self._file.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    # --- blocks ----------------------------------------------------------------------------------

    def _keys_of_block(self) -> tuple[list[Record], int]:
        """The records of the block that begins here, and where it ends."""
        if self._integer() != ESCAPE:
            raise self._damage("a block does not begin with its sync marker")
        self._expect_sync()
        count = self._variable("records of a block", MOST_RECORDS)
        keys = self._rows(self.key_class)
        offset = self._file.tell()
        sizes = self._lengths()
        if not len(keys) == len(sizes) == count:
            raise self._damage(f"a block of {count} records, {len(keys)} keys, {len(sizes)} values")
        end = self._variable("bytes of a block", self._size) + self._file.tell()
        if end > self._size:
            raise self._damage("the values of a block are cut short")
        rows = zip(keys, sizes, strict=True)
        return [Record(key, offset, size, row) for row, (key, size) in enumerate(rows)], end

    def _block(self, record: Record) -> list[bytes]:
        """The values of a record's block."""
        values = self._blocks.get(self.path, record.offset)
        if values is None:
            self._file.seek(record.offset)
            values = self._rows(self.value_class)
            self._blocks.keep(self.path, record.offset, values)
        return values

    def _rows(self, kind: str) -> list[bytes]:
        """The keys, or the values, of a block, whose lengths stand here."""
        lengths = self._lengths()
        total = sum(lengths)
        if total > LONGEST:
            raise self._damage(f"a block of {total} bytes; {LONGEST} at most are read")
        content = self._buffer(total)
        if len(content) != total:
            raise self._damage(f"a block of {len(content)} bytes instead of {total}")
        rows, at = [], 0
        for length in lengths:
            rows.append(self._plain(kind, content[at : at + length]))
            at += length
        return rows

    def _lengths(self) -> list[int]:
        with self._placed():
            return unpack_numbers(self._buffer(MOST_RECORDS * 5))

    def _buffer(self, limit: int) -> bytes:
        return self._expanded(self._take(self._variable("bytes of a block", self._size)), limit)

    # --- parts -----------------------------------------------------------------------------------

    def _damage(self, what: str) -> DataError:
        return DataError(f"SequenceFile {self.path}, byte {self._file.tell()}: {what}")

    @contextmanager
    def _placed(self) -> Iterator[None]:
        """An error of a part says where in which file."""
        try:
            yield
        except DataError as error:
            raise self._damage(str(error)) from error

    def _take(self, count: int) -> bytes:
        if count > self._size:
            raise self._damage(f"{count} bytes are announced, the file has {self._size}")
        found = self._file.read(count)
        if len(found) < count:
            raise self._damage("the file is cut short")
        return found

    def _integer(self) -> int:
        return int.from_bytes(self._take(4), "big", signed=True)

    def _variable(self, what: str, most: int) -> int:
        """A number of variable length, from 0 on."""
        first = self._take(1)
        value, _ = unpack_number(first + self._take(number_size(first[0]) - 1))
        return self._check(what, value, most)

    def _check(self, what: str, value: int, most: int) -> int:
        if not 0 <= value <= most:
            raise self._damage(f"{value} {what}; 0 to {most} are possible here")
        return value

    def _text(self) -> str:
        return self._take(self._variable("bytes of a text", LONGEST_TEXT)).decode(errors="replace")

    def _expect_sync(self) -> None:
        if self._take(SYNC_SIZE) != self._sync:
            raise self._damage("a sync marker is expected, something else is there")

    def _plain(self, kind: str, stored: bytes) -> bytes:
        with self._placed():
            return plain_value(kind, stored)

    def _expanded(self, stored: bytes, limit: int) -> bytes:
        with self._placed():
            return expanded(self.codec, stored, limit)
