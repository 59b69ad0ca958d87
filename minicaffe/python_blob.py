"""Blobs as Python code outside the core sees them: their arrays are ndarrays, for code in C too.

A Python layer's bottoms, tops and parameters are shown so, and the parameters of every layer that
pycaffe's net shows (pycaffe/layer.py). Net, solver and kernels have the blob itself (`plain`).
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import numpy as np

from .blob import Blob, BlobList, SyncedArray


class BlobArray(np.ndarray[Any, np.dtype[np.float32]]):
    """The live host array of a blob; on a device it is there by `read`, `write` and `update`.

    What is cut from it or computed with it is an ndarray and no more.
    """

    _synced: SyncedArray | None

    def __array_finalize__(self, source: Any) -> None:
        self._synced = None

    def __array_wrap__(self, array: Any, context: Any = None, return_scalar: bool = False) -> Any:
        if array is self:  # the result's place, `out`
            return self
        made = array.view(np.ndarray)
        return made if made.ndim else made[()]

    def __getitem__(self, index: Any) -> Any:
        found = super().__getitem__(index)
        return found.view(np.ndarray) if isinstance(found, BlobArray) else found

    def __getattr__(self, name: str) -> Any:
        if name.startswith("_") or self._synced is None:
            raise AttributeError(f"'{type(self).__name__}' has no attribute '{name}'")
        return getattr(self._synced, name)

    def __reduce__(self) -> Any:
        return np.array, (self.view(np.ndarray),)

    def __copy__(self) -> Any:
        return np.array(self)

    def __deepcopy__(self, memo: Any) -> Any:
        return np.array(self)


class PythonBlob(Blob):
    """A blob of the net with its arrays shown as ndarrays: each time they are asked for they are up
    to date, and what is written into them reaches every device."""

    def __init__(self, blob: Blob) -> None:
        self.blob = blob
        self._data = blob.data
        self._diff = blob.diff

    @property
    def data(self) -> BlobArray:  # type: ignore[override]
        """The values."""
        return _shown(self._data)

    @property
    def diff(self) -> BlobArray:  # type: ignore[override]
        """The gradient of the loss with respect to the values."""
        return _shown(self._diff)


def _shown(array: SyncedArray) -> BlobArray:
    shown = array.host().view(BlobArray)
    shown._synced = array
    return shown


class PythonBlobs(BlobList):
    """The parameters of a layer, shown so; those that it adds too."""

    def __init__(self, blobs: Iterable[Blob] = ()) -> None:
        super().__init__(map(PythonBlob, blobs))

    def add_blob(self, *shape: int) -> Blob:
        """Append a zero blob of this shape and return it."""
        self.append(PythonBlob(Blob(shape)))
        return self[-1]


def plain(blobs: Iterable[Blob]) -> list[Blob]:
    """The blobs themselves, whose arrays each device sees in its own memory."""
    return [blob.blob if isinstance(blob, PythonBlob) else blob for blob in blobs]


def python_blobs(blobs: list[Blob], others: list[Blob]) -> tuple[list[Blob], list[Blob]]:
    """The blobs below and above a Python layer; the same one where it works in place."""
    shown: dict[int, Blob] = {id(blob): PythonBlob(blob) for blob in (*blobs, *others)}
    return [shown[id(blob)] for blob in blobs], [shown[id(blob)] for blob in others]
