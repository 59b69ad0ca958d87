"""The records of an LMDB, in parts for tasks."""

from __future__ import annotations

import functools
import itertools
from collections.abc import Iterable, Iterator
from typing import Any, NamedTuple

from minicaffe.data.database import database_at_hand, parse_datum
from minicaffe.data.datum import picture_of
from minicaffe.data.lmdb_file import LmdbReader
from minicaffe.errors import DataError

from ..shipping.far_settings import carried
from .listed_pictures import anchored


class LmdbRecord(NamedTuple):
    """A Datum as the ancestor's columns have it: id is its key, label a text.

    `data` are the bytes of an encoded picture's file, else its bytes row by row with the colours
    of a pixel together, (height, width, channels).
    """

    id: str
    label: str
    channels: int
    height: int
    width: int
    encoded: bool
    data: bytes


def lmdb_records(sc: Any, path: str, parts: int, bad: Any) -> Any:
    """An RDD of LmdbRecords in key order, in so many parts; none is lost, none is made up.

    `path` may be in any file system that minicaffe reads; a machine copies a far database once.
    Raises DataError for what is no LMDB. A record that is no picture of bytes goes to `bad`.
    """
    path = anchored(path)
    with database_at_hand(path) as near, LmdbReader(near) as reader:
        count = len(reader)
    parts = max(min(parts, count), 1)
    bounds = [count * part // parts for part in range(parts + 1)]
    ranges = sc.parallelize(list(itertools.pairwise(bounds)), parts)
    return ranges.mapPartitions(carried(sc, functools.partial(_records, path, bad)))


def _records(path: str, bad: Any, ranges: Iterable[tuple[int, int]]) -> Iterator[LmdbRecord]:
    with database_at_hand(path) as near, LmdbReader(near) as reader:
        for first, end in ranges:
            for record in itertools.islice(reader.records(), first, end):
                try:
                    yield _record(path, record.key, reader.value(record))
                except DataError as error:
                    bad.add({record.key: str(error)})


def _record(path: str, key: bytes, value: bytes) -> LmdbRecord:
    datum = parse_datum(value, key, path)
    shape = (datum.channels, datum.height, datum.width)
    data = datum.data
    if not datum.encoded:
        if datum.float_data:
            raise DataError(f"the record of key {key!r} in {path} has floats, bytes are expected")
        data = picture_of(datum).transpose(1, 2, 0).tobytes()
    return LmdbRecord(key.decode(errors="replace"), str(datum.label), *shape, datum.encoded, data)
