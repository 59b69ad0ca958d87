"""What the databases of Datums have in common: a record is a picture and a label."""

from __future__ import annotations

import threading
from abc import abstractmethod
from collections.abc import Iterator, Sequence
from contextlib import ExitStack

import numpy as np

from ...errors import DataError
from ...proto import minicaffe_pb2 as pb
from ..database import database_at_hand, parse_datum
from ..datum import alike, picture_of
from ..source import DataSource, Sample, Samples, StoredPicture
from ._pictures import Pictures


class DatumDatabase(DataSource):
    """Datums under keys; the samples are in key order, a sample's id is its key.

    The path is `memory_data_param.source` or `data_param.source`; what lies far away, at an `hdfs:`
    or `s3a:` URL, is copied to this machine, once for all processes there. A sample has two values:
    the picture, decoded and scaled as Pictures says, and the label as float32.
    """

    parallel = True

    def __init__(self, param: pb.LayerParameter, phase: int) -> None:
        super().__init__(param, phase)
        source = param.memory_data_param.source or param.data_param.source
        if not source:
            raise DataError(f"layer '{param.name}': source must be given, the database's folder")
        self._copy = ExitStack()
        self.path = self._copy.enter_context(database_at_hand(source))
        self.pictures = Pictures(param)
        self._reading = threading.Lock()

    @abstractmethod
    def record(self, index: int) -> tuple[bytes, bytes]:
        """Key and value of record `index`."""

    def records(self, indices: Sequence[int]) -> Iterator[tuple[bytes, bytes]]:
        """Keys and values of several records, one after the other."""
        return map(self.record, indices)

    def close(self) -> None:
        """Let go of the copy of a database that lies far away."""
        self._copy.close()

    def stored(self, index: int) -> StoredPicture:
        """Sample `index`, an encoded picture as it is. Raises DataError, with the key."""
        key, value = self.record(index)
        datum = parse_datum(value, key, self.path)
        if not datum.encoded:
            return StoredPicture.of(name_of(key), datum.label, picture_of(datum))
        shape = (datum.channels, datum.height, datum.width)
        return StoredPicture(name_of(key), str(datum.label), *shape, True, datum.data)

    def read(self, index: int) -> Sample:
        """Sample `index`. Raises DataError, with the key, for a damaged one."""
        with self._reading:
            key, value = self.record(index)
        datum = parse_datum(value, key, self.path)
        try:
            picture = self.pictures.scaled(picture_of(datum, self.pictures.channels))
        except DataError as error:
            raise DataError(f"the record of key {key!r} in {self.path}: {error}") from error
        return Sample(name_of(key), (picture, np.array(datum.label, np.float32)))

    def read_alike(self, indices: Sequence[int]) -> Samples | None:
        """See DataSource.read_alike: pictures that are not encoded, of one shape."""
        if self.pictures.wanted.resize:
            return None
        names: list[str] = []

        def values() -> Iterator[bytes]:
            for key, value in self.records(indices):
                names.append(name_of(key))
                yield value

        try:
            with self._reading:
                found = alike(values(), len(indices))
        except DataError:  # `read` says whose it is
            return None
        return found and Samples(names, found)


def name_of(key: bytes) -> str:
    """A sample's id."""
    return key.decode(errors="replace")
