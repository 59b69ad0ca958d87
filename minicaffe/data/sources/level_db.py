"""LevelDB: a database of Datums in a LevelDB, the default backend of Caffe's Data layer."""

from __future__ import annotations

from ...proto import minicaffe_pb2 as pb
from ..leveldb_file import LeveldbReader
from ._datums import DatumDatabase


class LevelDB(DatumDatabase):
    """Datums in a LevelDB; see DatumDatabase. Keeps all keys in memory."""

    def __init__(self, param: pb.LayerParameter, phase: int) -> None:
        super().__init__(param, phase)
        self._reader = LeveldbReader(self.path)
        self._keys = list(self._reader.keys())

    def __len__(self) -> int:
        return len(self._keys)

    def record(self, index: int) -> tuple[bytes, bytes]:
        """Key and value of record `index`."""
        key = self._keys[index]
        return key, self._reader.get(key)

    def close(self) -> None:
        """Close the database."""
        self._reader.close()
        super().close()
