"""HDF5 files, read with suspicion: what is wrong in one is an Error, and no size is taken on trust.

A damaged file may promise terabytes, or have links that lead in circles, and libhdf5 tells of
damage by exceptions of many kinds. Nothing is read before it is known to be a dataset of numbers
whose values are in the file.
"""

from __future__ import annotations

import math
import os
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from ..errors import Error, extra

NUMBERS = "iufb"  # kinds of NumPy types that become float32
MOST_COMPRESSED = 1032  # deflate's best: values of so many bytes from one
UNSTORED = 16 << 20  # bytes that a dataset may have beyond those that are stored (its fill value)

Shape = tuple[int, ...]


class Hdf5File:
    """An HDF5 file open for reading; to be used in a `with` statement.

    Raises errors of the class `error`, with the path, for all that cannot be read. Names are paths
    in the file: data/conv1/0.
    """

    def __init__(
        self, path: str | os.PathLike[str], error: type[Error], purpose: str = "an HDF5 file"
    ) -> None:
        self.path = path
        self.error = error
        self._h5py = extra("h5py", "hdf5", purpose)
        try:
            self._file = self._h5py.File(path, "r")
        except Exception as problem:
            raise error(f"cannot read HDF5 file {path}: {problem}") from problem

    def names(self, group: str = "/") -> list[str] | None:
        """The names in a group; None where there is no such group."""
        with self._guard(group):
            found = self._file.get(group)
            if not isinstance(found, self._h5py.Group):
                return None
            # Names that are not UTF-8 come as bytes.
            return [n if isinstance(n, str) else n.decode(errors="backslashreplace") for n in found]

    def shape(self, name: str) -> Shape | None:
        """The shape of a dataset of numbers; None where there is no dataset of that name."""
        with self._guard(name):
            dataset = self._file.get(name)
            if not isinstance(dataset, self._h5py.Dataset):
                return None
            if dataset.dtype.kind not in NUMBERS or dataset.shape is None:
                raise self.error(f"dataset '{name}' of {self.path} has type {dataset.dtype}")
            shape: Shape = dataset.shape
            return shape

    def read(self, name: str) -> NDArray[Any]:
        """The values of a dataset of numbers, in the type in which they are stored."""
        if self.shape(name) is None:
            raise self.error(f"{self.path} has no dataset '{name}'")
        with self._guard(name):
            dataset = self._file[name]
            self._check_size(dataset, name)
            return np.asarray(dataset[()])

    def read_float32(self, name: str) -> NDArray[np.float32]:
        """The values of a dataset of numbers, rounded."""
        with np.errstate(over="ignore"):
            return self.read(name).astype(np.float32, copy=False)

    def whole_number(self, name: str) -> int:
        """The first value of a dataset of whole numbers."""
        values = self.read(name)
        if values.size == 0 or values.dtype.kind not in "iu":
            raise self.error(f"dataset '{name}' of {self.path} holds no whole number")
        return int(values.reshape(-1)[0])

    def text(self, name: str) -> str:
        """A dataset of one string."""
        with self._guard(name):
            dataset = self._file.get(name)
            good = isinstance(dataset, self._h5py.Dataset) and dataset.shape in ((), (1,))
            if not good or dataset.dtype.kind not in "SO":
                raise self.error(f"dataset '{name}' of {self.path} holds no text")
            self._check_size(dataset, name)
            value = np.ravel(dataset[()])[0]
            return bytes(value).rstrip(b"\0").decode()

    def _check_size(self, dataset: Any, name: str) -> None:
        """Refuse a dataset that promises more than the file holds."""
        if dataset.is_virtual or dataset.external:
            return  # its values are in other files
        stored = dataset.id.get_storage_size()
        if dataset.id.get_create_plist().get_nfilters():
            stored *= MOST_COMPRESSED
        wanted = dataset.size * dataset.dtype.itemsize
        chunk = math.prod(dataset.chunks or ()) * dataset.dtype.itemsize
        if max(wanted, chunk) > stored + UNSTORED:
            raise self.error(
                f"dataset '{name}' of {self.path} has shape {dataset.shape}, {wanted} bytes,"
                " which are not in the file"
            )

    @contextmanager
    def _guard(self, name: str) -> Iterator[None]:
        try:
            yield
        except Error:
            raise
        except Exception as problem:  # OSError, KeyError, RuntimeError, ValueError, TypeError ...
            raise self.error(
                f"HDF5 file {self.path} is damaged at '{name}': {problem}"
            ) from problem

    def close(self) -> None:
        """Close the file."""
        self._file.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()
