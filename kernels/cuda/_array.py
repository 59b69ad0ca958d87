"""Arrays of a CUDA device: an address, a shape, a type; what the host does with them are views."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

Shape = tuple[int, ...]


class DeviceArray:
    """A contiguous array in a device's memory. Its values are for kernels, not for the host.

    address   of its first element
    owner     what keeps the memory, an Allocation: it is freed when the last view of it is gone
    kind      the type's name for kernels: "float32[2]"
    """

    dtype: np.dtype[Any]

    __slots__ = ("address", "dtype", "kind", "owner", "shape", "size")
    __array_ufunc__ = None  # no operator of NumPy's takes it
    __iter__ = None  # nor a loop

    def __init__(self, address: int, shape: Shape, dtype: Any, owner: Any) -> None:
        self.address = address
        self.shape = shape
        self.dtype = np.dtype(dtype)
        self.owner = owner
        self.size = math.prod(shape)
        self.kind = f"{self.dtype.name}[{len(shape)}]"

    @property
    def ndim(self) -> int:
        """How many axes it has."""
        return len(self.shape)

    @property
    def nbytes(self) -> int:
        """How many bytes it takes."""
        return self.size * int(self.dtype.itemsize)

    def reshape(self, *shape: Any) -> DeviceArray:
        """A view of another shape with as many elements; one extent may be -1."""
        wanted = tuple(shape[0]) if len(shape) == 1 and not isinstance(shape[0], int) else shape
        if -1 in wanted:
            known = -math.prod(wanted)
            wanted = tuple(self.size // known if d == -1 else d for d in wanted) if known else (0,)
        if math.prod(wanted) != self.size:
            raise ValueError(f"an array of shape {self.shape} has no view of shape {wanted}")
        return DeviceArray(self.address, wanted, self.dtype, self.owner)

    def view(self, dtype: Any) -> DeviceArray:
        """The same memory as elements of another type; the last axis has as many bytes."""
        other = np.dtype(dtype)
        *outer, last = self.shape
        shape = (*outer, last * self.dtype.itemsize // other.itemsize)
        return DeviceArray(self.address, shape, other, self.owner)

    def __getitem__(self, index: Any) -> DeviceArray:
        """A part along the first axis: `x[2:5]`, or `x[2]`, which has an axis less."""
        length, *others = self.shape
        stride = math.prod(others) * self.dtype.itemsize
        if isinstance(index, slice):
            start, stop, step = index.indices(length)
            if step != 1:
                raise IndexError("a part of a device's array is contiguous: a slice has no step")
            shape = (max(stop - start, 0), *others)
        else:
            start, shape = range(length)[index], tuple(others)
        return DeviceArray(self.address + start * stride, shape, self.dtype, self.owner)

    def __array__(self, *args: Any, **kwargs: Any) -> Any:
        raise TypeError("the host cannot touch a device's array: blob.data brings it here")

    def __repr__(self) -> str:
        return f"DeviceArray({self.dtype}, shape={self.shape}, at {self.address:#x})"
