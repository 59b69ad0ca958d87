"""Blobs: a data and a diff array of one shape, each kept in step between host and devices."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .device import load_kernel, place
from .errors import Error
from .host_array import HostArray
from .loans import Loans
from .storage import Storage, moved

MAX_AXES = 32
MAX_COUNT = 2**31 - 1

Shape = tuple[int, ...]


class Home:
    """Where a parameter's array belongs: its slice of a net's flat buffer.

    `away` holds the arrays of that buffer that are elsewhere now, each with its home: it uses the
    memory of another blob (`share`), or has another count. An array that outgrew its slice comes
    back as soon as it fits again. `shape` is that in which the layer's kernels see the array,
    whatever shape of this count it is given (None: the one that it has).
    """

    def __init__(self, name: str, array: SyncedArray, away: dict[int, tuple[SyncedArray, Home]]):
        self.name = name
        self.storage = array.storage
        self.slice = slice(array.offset, array.offset + array.count)
        self.count = array.count
        self.shape: Shape | None = array.shape
        self.away = away
        array.home = self

    def look_after(self, array: SyncedArray) -> None:
        """The array has another shape or another memory."""
        if array.count == self.count and not array.shared and array.storage is not self.storage:
            array.move_into(self.storage, self.slice.start)
        inside = array.storage is self.storage and array.offset == self.slice.start
        if inside and array.count == self.count:
            self.away.pop(id(array), None)
        else:
            self.away[id(array)] = (array, self)


class SyncedArray(HostArray):
    """An n-d float32 array that each device sees in its own memory; int32 for what kernels count.

    Kernels ask for it by device: `read` (its values), `write` (they will be overwritten whole),
    `update` (read and changed). Where no other place has a copy that is up to date, nothing has to
    be moved and nothing gets stale: the three then find the view at once.

    On the host it also behaves like the ndarray it holds (HostArray): `a + b`, `a.mean()`,
    `np.asarray(a)`; `a[...]` is a live view.
    """

    def __init__(self, shape: Shape = (), dtype: str = "float32") -> None:
        self.shape = shape
        self.dtype = np.dtype(dtype)  # of 4 bytes, as the storage's elements
        self.count = math.prod(shape)
        self.storage = Storage(self.count)
        self.offset = 0
        self.capacity = self.count
        self.shared = False  # uses the memory of another array
        self.home: Home | None = None  # of a parameter
        self._views: dict[str, Any] = {}  # of the storage's copies, by place

    def resize(self, shape: Shape) -> None:
        """Take a new shape; memory is replaced only when the array outgrows it."""
        if shape == self.shape:
            return
        moved()
        self.shape = shape
        self.count = math.prod(shape)
        self._views.clear()
        if self.count > self.capacity:
            self.storage = Storage(self.count)
            self.offset = 0
            self.capacity = self.count
            self.shared = False
        if self.home is not None:
            self.home.look_after(self)

    def share(self, other: SyncedArray) -> None:
        """Use the memory of another array of the same count; the shape stays."""
        if self.shared and (self.storage, self.offset) == (other.storage, other.offset):
            return
        moved()
        self.storage = other.storage
        self.offset = other.offset
        self.capacity = other.capacity
        self.shared = True
        self._views.clear()
        if self.home is not None:
            self.home.look_after(self)

    def move_into(self, storage: Storage, offset: int) -> None:
        """Make this array a slice of a larger buffer, taking its values along."""
        moved()
        values = self.read("cpu")
        self.storage = storage
        self.offset = offset
        self.capacity = self.count
        self.shared = False
        self._views.clear()
        self.update("cpu")[...] = values

    def read(self, device: str) -> Any:
        """The array on a device, up to date; the caller must not change it."""
        where = place(device)
        view = self._views.get(where) if self.storage.only == where else None
        return self._view(where, True, False) if view is None else view

    def write(self, device: str) -> Any:
        """The array on a device, to be overwritten whole; what it holds is not defined."""
        where = place(device)
        if self.storage.loans is not None:
            return self._lend(where, self.storage.loans)
        view = self._views.get(where) if self.storage.only == where else None
        return self._view(where, self.count != self.storage.count, True) if view is None else view

    def update(self, device: str) -> Any:
        """The array on a device, up to date, to be changed."""
        where = place(device)
        if self.storage.loans is not None:
            return self._lend(where, self.storage.loans)
        view = self._views.get(where) if self.storage.only == where else None
        return self._view(where, True, True) if view is None else view

    def overwrite(self, device: str, value: float) -> None:
        """Write one value into all of it, on a device. (`fill` is the ndarray's, on the host.)"""
        where = place(device)
        array = self.write(device)
        if where == "host":
            array[...] = value
        else:
            load_kernel("memory", where).fill(array, value)

    def _view(self, where: str, load: bool, modify: bool) -> Any:
        flat = self.storage.get(where, load=load, modify=modify)
        if where not in self._views:
            if self.count != self.storage.count:
                flat = flat[self.offset : self.offset + self.count]
            if self.dtype != np.float32:
                flat = flat.view(self.dtype.name)
            self._views[where] = flat.reshape(self._seen_shape())
        return self._views[where]

    def _seen_shape(self) -> Shape:
        """The shape in which kernels see the array."""
        if self.home is not None and self.home.shape is not None and self.count == self.home.count:
            return self.home.shape
        return self.shape

    def _lend(self, where: str, loans: Loans) -> Any:
        """The array at a place, up to date, to be changed; the loan of one on the host is noted."""
        flat = self.storage.get(where, load=True, modify=True)
        if where == "host" and self.count:
            return loans.lend(flat, self.offset, self._seen_shape())
        loans.changed()
        return self._view(where, True, True)

    def stamp(self) -> tuple[int, int] | None:
        """What stays the same as long as a parameter's values do; None where that is not known.

        It is not for an array that is no part of a net's parameters, and while somebody holds an
        array that `write`, `update` or `host` gave (`loans.py`).
        """
        loans, end = self.storage.loans, self.offset + self.count
        known = loans is not None and loans.known(self.offset, end)
        return (loans.version, self.offset) if loans is not None and known else None

    def host(self) -> NDArray[np.float32]:
        """The live host array; because the caller may change it, the devices' copies are stale."""
        view: NDArray[np.float32] = self.update("cpu")[...]  # whose shape the caller may set
        return view if view.shape == self.shape else view.reshape(self.shape)

    def __repr__(self) -> str:
        return f"SyncedArray(shape={self.shape}, newest={sorted(self.storage.newest)})"


class Count(int):
    """The number of elements of a shape: a number as in pycaffe, a function as in Caffe."""

    shape: Shape

    def __new__(cls, shape: Shape) -> Count:
        count = super().__new__(cls, math.prod(shape))
        count.shape = shape
        return count

    def __call__(self, start: int = 0, end: int | None = None) -> int:
        """The number of elements in the axes `start` to `end` (1 for an empty range)."""
        return math.prod(self.shape[start:end])


class Blob:
    """Caffe's unit of data: values (`data`) and their gradient (`diff`), N-d, row-major float32."""

    def __init__(self, shape: Sequence[int] = ()) -> None:
        checked = _checked_shape(shape)
        self._data = SyncedArray(checked)
        self._diff = SyncedArray(checked)

    @property
    def data(self) -> SyncedArray:
        """The values."""
        return self._data

    @property
    def diff(self) -> SyncedArray:
        """The gradient of the loss with respect to the values."""
        return self._diff

    @property
    def shape(self) -> Shape:
        """The extent of each axis; () for a scalar."""
        return self._data.shape

    @property
    def num_axes(self) -> int:
        """How many axes the blob has."""
        return len(self.shape)

    @property
    def count(self) -> Count:
        """The number of elements; called, that in some axes: `count(start=0, end=None)`."""
        return Count(self.shape)

    def canonical_axis(self, axis: int) -> int:
        """The axis counted from the front: -1 is the last. Raises Error outside the shape."""
        if not -self.num_axes <= axis < self.num_axes:
            raise Error(f"axis {axis} is outside a blob of shape {self.shape}")
        return axis % self.num_axes

    def reshape(self, *shape: int | Sequence[int]) -> None:
        """Change the shape, given as dims or as one sequence; memory only ever grows."""
        known = self._data.shape
        if shape == known or (len(shape) == 1 and shape[0] == known):
            return
        dims = shape[0] if len(shape) == 1 and isinstance(shape[0], Sequence) else shape
        checked = _checked_shape(dims)  # type: ignore[arg-type]
        self._data.resize(checked)
        self._diff.resize(checked)

    def reshape_like(self, other: Blob) -> None:
        """Take the shape of another blob."""
        self.reshape(other.shape)

    def share_data(self, other: Blob) -> None:
        """Use the data of another blob of equal count."""
        self._share(self._data, other._data, "data")

    def share_diff(self, other: Blob) -> None:
        """Use the diff of another blob of equal count."""
        self._share(self._diff, other._diff, "diff")

    def _share(self, mine: SyncedArray, theirs: SyncedArray, what: str) -> None:
        if mine.count != theirs.count:
            raise Error(
                f"cannot share {what}: shape {mine.shape} holds {mine.count} elements, "
                f"shape {theirs.shape} holds {theirs.count}"
            )
        mine.share(theirs)

    def legacy_dim(self, index: int) -> int:
        """Extent of axis `index` of the 4-d view (num, channels, height, width)."""
        if self.num_axes > 4:
            raise Error(f"a blob of {self.num_axes} axes has no num, channels, height and width")
        return self.shape[index] if index < self.num_axes else 1

    @property
    def num(self) -> int:
        """Extent of axis 0 in the legacy 4-d view."""
        return self.legacy_dim(0)

    @property
    def channels(self) -> int:
        """Extent of axis 1 in the legacy 4-d view."""
        return self.legacy_dim(1)

    @property
    def height(self) -> int:
        """Extent of axis 2 in the legacy 4-d view."""
        return self.legacy_dim(2)

    @property
    def width(self) -> int:
        """Extent of axis 3 in the legacy 4-d view."""
        return self.legacy_dim(3)

    def __repr__(self) -> str:
        return f"Blob(shape={self.shape})"


class BlobList(list[Blob]):
    """The parameter blobs of a layer, with pycaffe's `add_blob`."""

    def add_blob(self, *shape: int) -> Blob:
        """Append a zero blob of this shape and return it."""
        self.append(Blob(shape))
        return self[-1]


def _checked_shape(shape: Sequence[int]) -> Shape:
    checked = tuple(int(dim) for dim in shape)
    if len(checked) > MAX_AXES:
        raise Error(f"a blob has at most {MAX_AXES} axes, not {len(checked)}")
    if any(dim < 0 for dim in checked):
        raise Error(f"a blob's shape has no negative dims: {checked}")
    if math.prod(checked) > MAX_COUNT:
        raise Error(f"a blob of shape {checked} has more than {MAX_COUNT} elements")
    return checked
