"""LMDB files: a reader that walks the B+ tree of the file. (The writer is in lmdb_writer.py.)

Why a reader of our own: the C library may not open a file twice in a process (a train and a test
net on one database do), needs a lock file (a read-only folder has none), and takes the process down
when the file is cut short. A read here is a `pread`; all is checked against the file's length.

The format (LMDB 0.9, 64 bits, little endian; http://www.lmdb.tech/doc, lmdb's mdb.c):

    page    header of 16 bytes: number u64, pad u16, flags u16, lower u16, upper u16
    meta    pages 0 and 1; the one with the higher transaction number counts
    branch  nodes (key -> page number of a child), leaf: nodes (key -> value)
    node    u16 low, u16 high, u16 flags, u16 key length, key, value
            (the offsets of a page's nodes follow its header)
    a value too large for a leaf stands in overflow pages of its own, after one page header
"""

import os
import struct
import weakref
from collections.abc import Iterator
from itertools import count
from pathlib import Path
from typing import NamedTuple, Self

from ..errors import DataError

MAGIC = 0xBEEFC0DE
FORMAT = 1
PAGE_HEADER = 16
BRANCH, LEAF = 0x01, 0x02  # page flags
BIG, SUB_DATABASE, DUPLICATES = 0x01, 0x02, 0x04  # node flags
NO_PAGE = 0xFFFFFFFFFFFFFFFF
DEEPEST = 32  # lmdb's own bound
SMALLEST_RECORD = 10  # bytes: a node's offset and header

_meta = struct.Struct("<IIQQ 24x24x IHHQQQQQ QQ")  # magic .. map size, (free), main database, ends
_page = struct.Struct("<8xHHHH")
_node = struct.Struct("<HHHH")
_number = struct.Struct("<Q")


class Record(NamedTuple):
    """Where a record's value stands in the file: `size` bytes at `offset`."""

    key: bytes
    offset: int
    size: int


class LmdbReader:
    """The records of an LMDB, in key order; `path` is its folder or its data.mdb.

    Any number of readers may be open on one file. Raises DataError, with the file's name, for what
    is not there, is no LMDB, or has been cut short or overwritten.
    """

    def __init__(self, path: str | os.PathLike[str]) -> None:
        self.path = _data_file(Path(path))
        try:
            self._file = os.open(self.path, os.O_RDONLY | os.O_CLOEXEC)
        except OSError as error:
            raise DataError(f"cannot read LMDB {self.path}: {error.strerror}") from error
        self._closing = weakref.finalize(self, os.close, self._file)  # without close(), too
        try:
            self.size = os.fstat(self._file).st_size
            self._read_meta()
        except BaseException:
            self.close()
            raise

    def _read_meta(self) -> None:
        if self.size == 0:
            raise DataError(f"LMDB {self.path} is empty (0 bytes)")
        head = os.pread(self._file, PAGE_HEADER + _meta.size, 0)
        self.page_size = int.from_bytes(head[40:44], "little")
        if head[12:16] == MAGIC.to_bytes(4, "little"):
            raise DataError(f"LMDB {self.path} is of a 32-bit program: dump it and load it anew")
        if head[16:20] != MAGIC.to_bytes(4, "little"):
            magic = head[16:20].hex() or "missing"
            raise DataError(f"{self.path} is not an LMDB file (magic {magic})")
        if self.page_size < 256 or self.page_size & (self.page_size - 1):
            raise DataError(f"LMDB {self.path} is damaged: page size {self.page_size}")
        newest = -1
        for page in (0, 1):
            raw = os.pread(self._file, _meta.size, page * self.page_size + PAGE_HEADER)
            if len(raw) < _meta.size:
                raise self._cut_short(2 * self.page_size)
            magic, version, _, _, _, flags, depth, _, _, _, entries, root, last, number = (
                _meta.unpack(raw)
            )
            if magic != MAGIC or number <= newest:
                continue
            if version != FORMAT:
                raise DataError(f"LMDB {self.path} has data format {version}; Caffe's is {FORMAT}")
            newest = number
            self._depth, self._entries, self._root = depth, entries, root
            self._flags, self._last = flags, last
        if (self._last + 1) * self.page_size > self.size:
            raise self._cut_short((self._last + 1) * self.page_size)
        if self._flags & DUPLICATES:
            raise DataError(f"LMDB {self.path} holds several values a key; Caffe's hold one")
        if self._depth > DEEPEST:
            raise DataError(f"LMDB {self.path} is damaged: a tree {self._depth} pages deep")
        if self._entries > self.size // SMALLEST_RECORD:
            raise DataError(f"LMDB {self.path} is damaged: {self._entries} records do not fit in")

    def _cut_short(self, wanted: int) -> DataError:
        return DataError(
            f"LMDB {self.path} is cut short: it has {self.size} bytes, its index speaks of {wanted}"
        )

    def __len__(self) -> int:
        """How many records there are."""
        return int(self._entries)

    def records(self, first: bytes = b"") -> Iterator[Record]:
        """Where the records stand, in key order, from the first key that is >= `first`."""
        if self._root == NO_PAGE:
            return
        left = len(self)
        for record in self._walk(self._root, 1, first, count()):
            if left == 0:
                raise DataError(f"LMDB {self.path} is damaged: more than its {len(self)} records")
            left -= 1
            yield record
        if left and not first:
            raise DataError(f"LMDB {self.path} is damaged: {left} of {len(self)} records missing")

    def keys(self) -> Iterator[bytes]:
        """The keys, in order; values are not touched."""
        return (record.key for record in self.records())

    def items(self, first: bytes = b"") -> Iterator[tuple[bytes, bytes]]:
        """(key, value) in key order, from the first key that is >= `first`."""
        return ((record.key, self.value(record)) for record in self.records(first))

    __iter__ = items

    def value(self, record: Record) -> bytes:
        """The bytes of a record."""
        value = os.pread(self._file, record.size, record.offset)
        if len(value) < record.size:
            raise DataError(f"LMDB {self.path} is cut short at the value of key {record.key!r}")
        return value

    def get(self, key: bytes) -> bytes:
        """The value of a key; DataError when it is not there."""
        for record in self.records(key):
            if record.key == key:
                return self.value(record)
            break
        raise DataError(f"LMDB {self.path} has no key {key!r}")

    def _walk(
        self, number: int, level: int, first: bytes, visits: Iterator[int]
    ) -> Iterator[Record]:
        if next(visits) > self._last:  # a page comes once in a tree
            raise self._damaged(number, "its tree has more pages than the file")
        page = self._page(number)
        flags = _page.unpack_from(page)[1]
        kind = LEAF if level == self._depth else BRANCH
        if not flags & kind:
            raise self._damaged(number, "its kind does not fit its level")
        nodes = self._nodes(page, number)
        if kind == LEAF:
            for at in nodes:
                record = self._record(page, at, number)
                if record.key >= first:
                    yield record
            return
        # A child holds keys from its own node's key up to the next node's.
        for i, at in enumerate(nodes):
            if first and i + 1 < len(nodes) and self._key(page, nodes[i + 1], number) <= first:
                continue
            low, high, top, _ = _node.unpack_from(page, at)
            yield from self._walk(low | high << 16 | top << 32, level + 1, first, visits)

    def _page(self, number: int) -> bytes:
        if not 2 <= number <= self._last:
            raise self._damaged(number, f"the last page is {self._last}")
        page = os.pread(self._file, self.page_size, number * self.page_size)
        if len(page) < self.page_size or _number.unpack_from(page)[0] != number:
            raise self._damaged(number, "another page stands in its place")
        return page

    def _nodes(self, page: bytes, number: int) -> tuple[int, ...]:
        lower = _page.unpack_from(page)[2]
        length = (lower - PAGE_HEADER) // 2
        if length < 0 or lower > self.page_size:
            raise self._damaged(number, "its list of nodes leaves the page")
        nodes = struct.unpack_from(f"<{length}H", page, PAGE_HEADER)
        if any(at < lower or at + _node.size > self.page_size for at in nodes):
            raise self._damaged(number, "a node leaves the page")
        return nodes

    def _key(self, page: bytes, at: int, number: int) -> bytes:
        start = at + _node.size
        key = page[start : start + _node.unpack_from(page, at)[3]]
        if start + _node.unpack_from(page, at)[3] > self.page_size:
            raise self._damaged(number, "a key leaves the page")
        return key

    def _record(self, page: bytes, at: int, number: int) -> Record:
        low, high, flags, _ = _node.unpack_from(page, at)
        key, size = self._key(page, at, number), low | high << 16
        start = at + _node.size + len(key)
        if flags & SUB_DATABASE:
            raise DataError(
                f"LMDB {self.path} holds a database named {key!r}; Caffe's hold records"
            )
        end = start + (_number.size if flags & BIG else size)
        if end > self.page_size:
            raise self._damaged(number, f"the value of key {key!r} leaves the page")
        if not flags & BIG:
            return Record(key, number * self.page_size + start, size)
        offset = _number.unpack_from(page, start)[0] * self.page_size + PAGE_HEADER
        if offset + size > self.size:
            raise self._damaged(number, f"the value of key {key!r} leaves the file")
        return Record(key, offset, size)

    def _damaged(self, number: int, why: str) -> DataError:
        return DataError(f"LMDB {self.path} is damaged at page {number}: {why}")

    def close(self) -> None:
        """Close the file; closing twice is harmless."""
        self._closing()
        self._file = -1

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


def _data_file(path: Path) -> Path:
    """The data.mdb of a folder, or the file itself."""
    if path.is_file():
        return path
    if not path.exists():
        raise DataError(f"no LMDB at {path}: there is nothing of that name")
    data = path / "data.mdb"
    if not data.is_file():
        hint = " (it looks like a LevelDB)" if (path / "CURRENT").exists() else ""
        raise DataError(f"no LMDB at {path}: the folder has no data.mdb{hint}")
    return data
