"""LMDB: a database of Datums in an LMDB, as Caffe's tools write them."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np

from ...proto import minicaffe_pb2 as pb
from ..lmdb_file import LmdbReader, Record
from ._datums import DatumDatabase


class LMDB(DatumDatabase):
    """Datums in an LMDB; see DatumDatabase. Keeps the places of all records in memory."""

    def __init__(self, param: pb.LayerParameter, phase: int) -> None:
        super().__init__(param, phase)
        self._reader = LmdbReader(self.path)
        self._keys: list[bytes] = []
        places = np.empty((len(self._reader), 2), np.int64)
        for i, (key, offset, size) in enumerate(self._reader.records()):
            self._keys.append(key)
            places[i] = offset, size
        self._places = places

    def __len__(self) -> int:
        return len(self._keys)

    def record(self, index: int) -> tuple[bytes, bytes]:
        """Key and value of record `index`: one read of the file."""
        key = self._keys[index]
        offset, size = self._places[index].tolist()
        return key, self._reader.value(Record(key, offset, size))

    def records(self, indices: Sequence[int]) -> Iterator[tuple[bytes, bytes]]:
        """Keys and values of several records, one after the other."""
        for index, place in zip(indices, self._places[list(indices)].tolist(), strict=True):
            key = self._keys[index]
            yield key, self._reader.value(Record(key, *place))

    def close(self) -> None:
        """Close the file."""
        self._reader.close()
        super().close()
