"""SeqImageDataSource: pictures in Hadoop's SequenceFiles, as CaffeOnSpark's tools write them."""

from __future__ import annotations

import contextlib
import threading
from collections import OrderedDict
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import numpy as np

from ...errors import DataError
from ...proto import minicaffe_pb2 as pb
from ..database import database_at_hand
from ..sample_key import SampleKey, read_sample_key
from ..sequence_file import KEPT, Blocks, Record, SequenceFileReader
from ..shuffle import Groups
from ..source import DataSource, Sample, StoredPicture
from ._pictures import Pictures, number_in

OPEN_FILES = 32
GOOD = -1  # the fault of a sample that has none

# Of each sample, where its value is (file, offset, size, row), which fault its key has, its label,
# channels, height and width, and whether it is encoded.
INDEX = np.dtype("i4, i8, i8, i4, i4, f4, i4, i4, i4, ?")


class SeqImageDataSource(DataSource):
    """The pictures of `memory_data_param.source`: a SequenceFile, or a folder of them.

    Files of a folder whose names begin with "_" or "." do not count. A key is a Java object with
    the sample's id and label, and perhaps the picture's shape (see SampleKey), a value its bytes;
    Pictures says how they are read. Samples are in the order of their ids, whatever file they lie
    in. Opening it reads all keys once; their ids, and where the values are, stay in memory.
    Pictures are then read from where they are. A compressed block of them is unpacked as a whole,
    and 256 MB of what was unpacked last are kept: so an epoch of more is shuffled by blocks, where
    the files have the order of the ids.
    """

    parallel = True

    def __init__(self, param: pb.LayerParameter, phase: int) -> None:
        super().__init__(param, phase)
        source = param.memory_data_param.source
        if not source:
            raise DataError(f"layer '{param.name}': memory_data_param.source must be given")
        self.pictures = Pictures(param)
        self._readers: OrderedDict[int, SequenceFileReader] = OrderedDict()
        self._reading = threading.Lock()
        self._blocks = Blocks()
        self._faults: list[str] = []
        ids: list[str] = []
        self._copy = ExitStack()
        try:
            self.files = part_files(self._copy.enter_context(database_at_hand(source)))
            index = np.fromiter(self._entries(ids), INDEX)
        except BaseException:
            self.close()
            raise
        order = sorted(range(len(ids)), key=ids.__getitem__)  # equal ids stay as they came
        self._ids = [ids[number] for number in order]
        self._index = index[order]
        self.groups = self._groups()

    def _entries(self, ids: list[str]) -> Iterator[tuple[float, ...]]:
        """The entries of the index, file by file; the samples' ids go into a list."""
        for number, file in enumerate(self.files):
            for record in self._reader(number).records():
                key, fault = SampleKey(f"{file}:{record.offset}", ""), GOOD
                label = 0.0
                try:
                    key = read_sample_key(record.key)
                    label = number_in(key.label, "its label")
                except DataError as error:
                    fault = len(self._faults)
                    self._faults.append(str(error))
                ids.append(key.id)
                yield number, record.offset, record.size, record.row, fault, label, *key[2:]

    def _groups(self) -> Groups | None:
        """The blocks, if every file has them and they follow each other in the order of the ids."""
        if not all(self._reader(number).in_blocks for number in range(len(self.files))):
            return None
        files, offsets, sizes = (self._index[f"f{i}"] for i in range(3))
        begins = np.concatenate([[True], (np.diff(files) != 0) | (np.diff(offsets) != 0)])
        starts = np.flatnonzero(begins[: len(self)])
        blocks = set(zip(files[starts].tolist(), offsets[starts].tolist(), strict=True))
        if len(blocks) != len(starts):
            return None
        rows = np.diff([*starts, len(self)])
        unpacked = np.add.reduceat(sizes, starts) if len(starts) else sizes
        return Groups(rows.tolist(), unpacked.tolist(), KEPT)

    def _reader(self, number: int) -> SequenceFileReader:
        """The reader of a file; those that were used last stay open."""
        reader = self._readers.pop(number, None)
        if reader is None:
            if len(self._readers) == OPEN_FILES:
                self._readers.popitem(last=False)[1].close()
            reader = SequenceFileReader(self.files[number], self._blocks)
        self._readers[number] = reader
        return reader

    def __len__(self) -> int:
        return len(self._ids)

    def read(self, index: int) -> Sample:
        """Sample `index`. Raises DataError, with its id and file, for a damaged one."""
        with self._named(index):
            kept = self._kept(index)
            shape = (kept.channels, kept.height, kept.width)
            picture = self.pictures.picture(kept.data, kept.encoded, shape)
        label = np.array(self._index[index]["f5"], np.float32)
        return Sample(kept.id, (picture, label))

    def stored(self, index: int) -> StoredPicture:
        """Sample `index`, as it is. Raises DataError, with its id and file, for a damaged one."""
        with self._named(index):
            return self._kept(index)

    def _kept(self, index: int) -> StoredPicture:
        file, offset, size, row, fault, label, *known = self._index[index].item()
        if fault != GOOD:
            raise DataError(self._faults[fault])
        with self._reading:
            data = self._reader(file).value(Record(b"", offset, size, row))
        channels, height, width, encoded = known
        name = self._ids[index]
        return StoredPicture(name, f"{label:.9g}", channels, height, width, encoded, data)

    @contextlib.contextmanager
    def _named(self, index: int) -> Iterator[None]:
        """Say of which sample an error tells."""
        try:
            yield
        except DataError as error:
            file = self.files[self._index[index]["f0"]]
            raise DataError(f"sample {self._ids[index]} in {file}: {error}") from error

    def close(self) -> None:
        """Close the files, and let go of the copy of those that lie far away."""
        while self._readers:
            self._readers.popitem()[1].close()
        self._copy.close()


def part_files(path: str) -> list[Path]:
    """The file of a path, or the files of a folder, by their names. Raises DataError for none."""
    place = Path(path)
    if place.is_file():
        return [place]
    if not place.is_dir():
        raise DataError(f"no SequenceFile at {path}: there is nothing of that name")
    files = sorted(file for file in place.iterdir() if file.name[0] not in "_." and file.is_file())
    if not files:
        raise DataError(f"no SequenceFile in {path}: the folder has no files of data")
    return files
