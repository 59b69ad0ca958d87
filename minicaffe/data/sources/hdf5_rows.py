"""Hdf5Rows: the rows of datasets in a list of HDF5 files, and the order of them by file."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from itertools import accumulate

import numpy as np
from numpy.typing import NDArray

from ...errors import DataError
from ...proto import minicaffe_pb2 as pb
from ..hdf5_file import Hdf5File
from ..image_list import read_words
from ..source import DataSource, Order, Place, Sample


class Hdf5Rows(DataSource):
    """Row i of every dataset that is a top's name, over all files of the list, as float32.

    The arrays of one file are in memory at a time. Raises DataError, with the file, for one that
    is not there, lacks a dataset, or has other shapes than the first.
    """

    by_name = False  # an HDF5Data layer opens it

    def __init__(self, param: pb.LayerParameter, phase: int) -> None:
        super().__init__(param, phase)
        self._purpose = f"layer '{param.name}' (HDF5Data)"
        source = param.hdf5_data_param.source
        if not source:
            raise DataError(f"layer '{param.name}': hdf5_data_param.source must be given, a list")
        self.files: list[str] = []
        self.rows: list[int] = []
        self.shapes: list[tuple[int, ...]] = []
        for path, place in read_words(source):
            self._look_at(path, place)
        if sum(self.rows) == 0:
            raise DataError(f"{source}: the list leads to no rows")
        self.starts = [0, *accumulate(self.rows)]
        self._loaded: tuple[int, list[NDArray[np.float32]]] = (-1, [])

    def _look_at(self, path: str, place: str) -> None:
        try:
            with self._open(path) as file:
                found = [self._shape(file, name) for name in self.param.top]
        except DataError as error:
            raise DataError(f"{place}: {error}") from error
        rows, shapes = [shape[0] for shape in found], [shape[1:] for shape in found]
        for name, count in zip(self.param.top, rows, strict=True):
            if count != rows[0]:
                raise DataError(
                    f"{place}: {path} has {rows[0]} rows of '{self.param.top[0]}'"
                    f" and {count} of '{name}'"
                )
        if self.files and shapes != self.shapes:
            raise DataError(
                f"{place}: rows of {path} have shapes {shapes}, those of {self.files[0]}"
                f" {self.shapes}"
            )
        self.shapes = shapes
        self.files.append(path)
        self.rows.append(rows[0])

    def _open(self, path: str) -> Hdf5File:
        return Hdf5File(path, DataError, self._purpose)

    @staticmethod
    def _shape(file: Hdf5File, name: str) -> tuple[int, ...]:
        shape = file.shape(name)
        if shape is None:
            has = ", ".join(file.names() or ()) or "none"
            raise DataError(f"{file.path} has no dataset '{name}' (it has: {has})")
        if not shape:
            raise DataError(f"dataset '{name}' of {file.path} is a scalar: it has no rows")
        return shape

    def __len__(self) -> int:
        return self.starts[-1]

    def read(self, index: int) -> Sample:
        """Row `index`, counted over all files. Raises DataError for a damaged file."""
        number = bisect_right(self.starts, index) - 1
        row = index - self.starts[number]
        loaded, arrays = self._loaded
        if loaded != number:
            arrays = self._load(self.files[number])
            self._loaded = (number, arrays)
        return Sample(f"{self.files[number]}:{row}", tuple(values[row] for values in arrays))

    def _load(self, path: str) -> list[NDArray[np.float32]]:
        """The datasets of a file; DataError if they are not what they were at the beginning."""
        with self._open(path) as file:
            loaded = [file.read_float32(name) for name in self.param.top]
        number = self.files.index(path)
        for name, values, shape in zip(self.param.top, loaded, self.shapes, strict=True):
            if values.shape != (self.rows[number], *shape):
                raise DataError(f"dataset '{name}' of {path} has changed: shape {values.shape}")
        return loaded

    def close(self) -> None:
        """Let go of the arrays; files are open only while they are read."""
        self._loaded = (-1, [])


@dataclass(frozen=True)
class FileOrder(Order):
    """The rows of files of these lengths, one file after the other.

    With `shuffle`, the files are in another order in each pass, and so are the rows of each.
    """

    rows: tuple[int, ...] = ()

    def _place(self, position: int) -> Place:
        epoch, index = divmod(position, self.size)
        if self.shuffle:
            index = int(_shuffled(self.rows, self.seed, epoch)[index])
        return Place(epoch, index)


@lru_cache(maxsize=4)
def _shuffled(rows: Sequence[int], seed: int, epoch: int) -> NDArray[np.intp]:
    random = np.random.RandomState([seed & 0xFFFFFFFF, seed >> 32 & 0xFFFFFFFF, epoch])
    starts = [0, *accumulate(rows)]
    files = random.permutation(len(rows))
    return np.concatenate([starts[file] + random.permutation(rows[file]) for file in files])
