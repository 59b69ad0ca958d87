"""The records of an LMDB, in parts for tasks."""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Iterator
from typing import Any, NamedTuple

from minicaffe.data.database import parse_datum
from minicaffe.data.datum import picture_of
from minicaffe.data.lmdb_file import LmdbReader
from minicaffe.data.source import local_path
from minicaffe.errors import DataError


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

    Raises DataError for what is no LMDB. A record that is no picture of bytes goes to `bad`.
    """
    with LmdbReader(local_path(path)) as reader:
        count = len(reader)
    parts = max(min(parts, count), 1)
    bounds = [count * part // parts for part in range(parts + 1)]
    ranges = sc.parallelize(list(itertools.pairwise(bounds)), parts)
    return ranges.mapPartitions(lambda given: _records(local_path(path), bad, given))


def _records(path: str, bad: Any, ranges: Iterable[tuple[int, int]]) -> Iterator[LmdbRecord]:
    with LmdbReader(path) as reader:
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
