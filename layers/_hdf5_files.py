"""What HDF5Data reads: the rows of datasets in a list of HDF5 files, and the orders of them."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from itertools import accumulate
from types import ModuleType
from typing import Any

import numpy as np
from numpy.typing import NDArray

from minicaffe.data_source import DataSource, Order, Place, Sample
from minicaffe.errors import DataError, MissingExtra
from minicaffe.image_list import read_lines
from minicaffe.proto import minicaffe_pb2 as pb

NUMBERS = "iufb"  # kinds of NumPy types that become float32


def h5py_for(purpose: str) -> ModuleType:
    """The library h5py. Raises MissingExtra."""
    try:
        import h5py
    except ImportError as error:
        raise MissingExtra("h5py", "hdf5", purpose) from error
    module: ModuleType = h5py
    return module


class Hdf5Rows(DataSource):
    """Row i of every dataset that is a top's name, over all files of the list, as float32.

    The arrays of one file are in memory at a time. Raises DataError, with the file, for one that
    is not there, lacks a dataset, or has other shapes than the first.
    """

    def __init__(self, param: pb.LayerParameter, phase: int) -> None:
        super().__init__(param, phase)
        self._h5py = h5py_for(f"layer '{param.name}' (HDF5Data)")
        source = param.hdf5_data_param.source
        if not source:
            raise DataError(f"layer '{param.name}': hdf5_data_param.source must be given, a list")
        self.files: list[str] = []
        self.rows: list[int] = []
        self.shapes: list[tuple[int, ...]] = []
        for number, line in enumerate(read_lines(source), 1):
            if line.strip():
                self._look_at(line.strip(), f"{source}:{number}")
        if sum(self.rows) == 0:
            raise DataError(f"{source}: the list leads to no rows")
        self.starts = [0, *accumulate(self.rows)]
        self._loaded: tuple[int, list[NDArray[np.float32]]] = (-1, [])

    def _look_at(self, path: str, place: str) -> None:
        with self._open(path, place) as file:
            datasets = [self._dataset(file, name, path, place) for name in self.param.top]
            rows = [dataset.shape[0] for dataset in datasets]
            shapes = [tuple(dataset.shape[1:]) for dataset in datasets]
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

    def _open(self, path: str, place: str) -> Any:
        try:
            return self._h5py.File(path, "r")
        except OSError as error:
            raise DataError(f"{place}: cannot read HDF5 file {path}: {error}") from error

    def _dataset(self, file: Any, name: str, path: str, place: str) -> Any:
        dataset = file.get(name)
        if not isinstance(dataset, self._h5py.Dataset):
            names = [key for key in file if isinstance(file[key], self._h5py.Dataset)]
            raise DataError(
                f"{place}: {path} has no dataset '{name}' (it has: {', '.join(names) or 'none'})"
            )
        if dataset.dtype.kind not in NUMBERS:
            raise DataError(f"{place}: dataset '{name}' of {path} has type {dataset.dtype}")
        if not dataset.shape:
            raise DataError(f"{place}: dataset '{name}' of {path} is a scalar: it has no rows")
        return dataset

    def __len__(self) -> int:
        return self.starts[-1]

    def read(self, index: int) -> Sample:
        """Row `index`, counted over all files. Raises DataError for a damaged file."""
        number = bisect_right(self.starts, index) - 1
        row = index - self.starts[number]
        if self._loaded[0] != number:
            self._loaded = (number, self._load(self.files[number]))
        return Sample(
            f"{self.files[number]}:{row}", tuple(values[row] for values in self._loaded[1])
        )

    def _load(self, path: str) -> list[NDArray[np.float32]]:
        with self._open(path, self.param.hdf5_data_param.source) as file:
            try:
                return [file[name].astype(np.float32)[...] for name in self.param.top]
            except (OSError, KeyError, RuntimeError) as error:
                raise DataError(f"HDF5 file {path} is damaged: {error}") from error

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
