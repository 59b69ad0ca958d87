"""HDF5 files, read with suspicion: what is wrong in one is an Error, and no size is taken on trust.

A damaged file may promise terabytes, or have links that lead in circles, and libhdf5 tells of
damage by exceptions of many kinds. Nothing is read before it is known to be a dataset of numbers
whose values are in the file. No other file is opened: external links, external storage and virtual
datasets are refused. Packed chunks are unpacked by hdf5_chunks.py: libhdf5's filters trust what the
file says of sizes, and end the process where it lies.
"""

from __future__ import annotations

import math
import os
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from ..errors import Error, extra
from .hdf5_chunks import read_chunks

NUMBERS = "iufb"  # kinds of NumPy types that become float32
MOST_COMPRESSED = 1032  # deflate's best: values of so many bytes from one
MOST_LINKS = 16  # soft links on the way to a dataset
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
            found = os.stat(path)
            if not stat.S_ISREG(found.st_mode):
                raise OSError("it is no regular file")
            self._size = found.st_size
            self._file = self._h5py.File(path, "r")
        except Exception as problem:
            raise error(f"cannot read HDF5 file {path}: {problem}") from problem

    def names(self, group: str = "/") -> list[str] | None:
        """The names in a group; None where there is no such group."""
        with self._guard(group):
            found = self._find(group)
            if not isinstance(found, self._h5py.Group):
                return None
            # Names that are not UTF-8 come as bytes.
            return [n if isinstance(n, str) else n.decode(errors="backslashreplace") for n in found]

    def shape(self, name: str) -> Shape | None:
        """The shape of a dataset of numbers; None where there is no dataset of that name."""
        with self._guard(name):
            dataset = self._find(name)
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
            dataset = self._find(name)
            self._check_size(dataset, name)
            return self._values(dataset)

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

    def attribute(self, name: str) -> int | None:
        """An attribute of the file that is a whole number; None where there is no such."""
        with self._guard(name):
            value = self._file.attrs.get(name)
            return int(value) if isinstance(value, np.integer) else None

    def text(self, name: str) -> str:
        """A dataset of one string."""
        with self._guard(name):
            dataset = self._find(name)
            good = isinstance(dataset, self._h5py.Dataset) and dataset.shape in ((), (1,))
            if not good or dataset.dtype.kind not in "SO":
                raise self.error(f"dataset '{name}' of {self.path} holds no text")
            self._check_size(dataset, name)
            value = np.ravel(self._values(dataset))[0]
            return bytes(value).rstrip(b"\0").decode()

    def _find(self, name: str) -> Any:
        """The group or dataset of a path, or None; links are followed within this file only."""
        h5py, found = self._h5py, self._file
        ahead, links = [part for part in name.split("/")[::-1] if part], 0
        while ahead and found is not None:
            part = ahead.pop()
            link = found.get(part, getlink=True) if isinstance(found, h5py.Group) else None
            if isinstance(link, h5py.ExternalLink):
                raise self.error(
                    f"'{name}' of {self.path} lies in another file, '{link.filename}': links to"
                    " other files are not followed, copy the values into this one"
                )
            if isinstance(link, h5py.SoftLink):
                links += 1
                if links > MOST_LINKS:
                    raise ValueError(f"more than {MOST_LINKS} links on the way")
                ahead += [step for step in link.path.split("/")[::-1] if step not in ("", ".")]
                found = self._file if link.path.startswith("/") else found
            else:
                found = found[part] if link is not None else None
        return found

    def _values(self, dataset: Any) -> NDArray[Any]:
        """What a dataset holds that `_check_size` has seen."""
        if dataset.chunks and dataset.size and dataset.dtype.kind != "O":
            return read_chunks(dataset, self._size)
        return np.asarray(dataset[()])

    def _check_size(self, dataset: Any, name: str) -> None:
        """Refuse a dataset that promises more than the file holds, or whose values are not in it.

        Types are those that NumPy has: libhdf5 would convert others, bit by bit, as the file says.
        """
        if dataset.is_virtual or dataset.external:
            raise self.error(
                f"the values of dataset '{name}' of {self.path} lie in other files, which are not"
                " opened: copy them into this one"
            )
        if dataset.dtype.kind in NUMBERS:
            if dataset.id.get_type() != self._h5py.h5t.py_create(dataset.dtype):
                raise self.error(f"dataset '{name}' of {self.path} has an unusual type of number")
        elif dataset.dtype.kind == "O" and dataset.chunks:
            raise self.error(f"dataset '{name}' of {self.path} holds its text in chunks")
        stored = min(dataset.id.get_storage_size(), self._size)
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
