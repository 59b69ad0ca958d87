"""A blob as pycaffe shows it: `data` and `diff` are NumPy arrays, live views of the host copy."""

import numpy as np
from numpy.typing import NDArray

from ..blob import Blob


class ArrayBlob:
    """The face of a Blob; writing to `data[...]` or `diff[...]` changes the blob."""

    __slots__ = ("_blob",)

    def __init__(self, blob: Blob) -> None:
        self._blob = blob

    @property
    def data(self) -> NDArray[np.float32]:
        """The values."""
        return self._blob.data.host()

    @data.setter
    def data(self, values: object) -> None:
        """It cannot be replaced, only filled."""
        raise AttributeError("a blob's data stays where it is: write blob.data[...] = values")

    @property
    def diff(self) -> NDArray[np.float32]:
        """The gradient."""
        return self._blob.diff.host()

    @diff.setter
    def diff(self, values: object) -> None:
        """It cannot be replaced, only filled."""
        raise AttributeError("a blob's diff stays where it is: write blob.diff[...] = values")

    @property
    def shape(self) -> tuple[int, ...]:
        """The extent of each axis."""
        return self._blob.shape

    @property
    def count(self) -> int:
        """The number of elements."""
        return self._blob.count()

    @property
    def num(self) -> int:
        """Extent of axis 0 in the legacy 4-d view."""
        return self._blob.num

    @property
    def channels(self) -> int:
        """Extent of axis 1 in the legacy 4-d view."""
        return self._blob.channels

    @property
    def height(self) -> int:
        """Extent of axis 2 in the legacy 4-d view."""
        return self._blob.height

    @property
    def width(self) -> int:
        """Extent of axis 3 in the legacy 4-d view."""
        return self._blob.width

    def reshape(self, *shape: int) -> None:
        """Change the shape."""
        self._blob.reshape(*shape)

    def __repr__(self) -> str:
        return f"Blob(shape={self.shape})"
