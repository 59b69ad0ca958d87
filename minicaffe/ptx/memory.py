"""A GPU's memory: arrays of bytes of this process, each with a gap of guard bytes around it.

An address is a real one, so that compiled code may follow it; `find` gives the allocation that it
lies in, if any. What was allocated and never written is known byte by byte, and holds ones, a NaN.
"""

from bisect import bisect_right, insort
from collections import deque

import numpy as np

from ..errors import DeviceError
from .program import Kernel, Variable

GUARD = 256  # bytes before and after each allocation; its address is a multiple of it
_UNTOUCHED = 0xFF
_FAR = 1 << 30  # from all allocations: an address that is none of the GPU's
_KEPT_AFTER_FREE = 64 << 20  # bytes: compiled code that follows an old pointer finds them


class Allocation:
    """Some bytes of a GPU's memory.

    address    of the first; a multiple of 256
    nbytes     as many as were asked for
    data       the bytes, at this address; what is beyond `nbytes` belongs to nobody
    written    of each byte of `data` whether it was written; None: all were
    read_only  whether a kernel must not write it
    """

    def __init__(self, nbytes: int, name: str) -> None:
        self.nbytes, self.name = nbytes, name
        self._room = np.full(nbytes + 3 * GUARD, _UNTOUCHED, np.uint8)
        begin = -self._room.ctypes.data % GUARD + GUARD
        self.data = self._room[begin : begin + -(-nbytes // 16) * 16]
        self.address = self.data.ctypes.data if nbytes else self._room.ctypes.data + begin
        self.written: np.ndarray | None = np.zeros(self.data.size, np.bool_) if nbytes else None
        self.read_only = False
        self._views: dict[np.dtype, np.ndarray] = {}

    def __lt__(self, other: "Allocation") -> bool:
        return self.address < other.address

    def __str__(self) -> str:
        called = f" '{self.name}'" if self.name else ""
        return f"the {self.nbytes} bytes{called} at {self.address:#x}"

    def view(self, dtype: np.dtype) -> np.ndarray:
        """The bytes as numbers of this type."""
        if dtype not in self._views:
            self._views[dtype] = self.data.view(dtype)
        return self._views[dtype]

    def mark(self, begin: int, stop: int) -> None:
        """Note that these bytes, counted from the first, are written."""
        if self.written is not None:
            self.written[begin:stop] = True
            self.settle()

    def settle(self) -> None:
        """Forget which bytes are written if all of them are."""
        if self.written is not None and self.written[: self.nbytes].all():
            self.written = None


class Memory:
    """The memory of one GPU. Its functions raise DeviceError for an address that is not its own."""

    def __init__(self) -> None:
        self._allocations: list[Allocation] = []
        self._addresses: list[int] = []
        self._freed: deque[Allocation] = deque()
        self._freed_bytes = 0
        self._variables: dict[Variable, int] = {}

    @property
    def used_bytes(self) -> int:
        """How many bytes are allocated."""
        return sum(each.nbytes for each in self._allocations)

    def allocate(self, nbytes: int, name: str = "") -> int:
        """The address of so many new bytes, a multiple of 256; errors call them by the name."""
        allocation = Allocation(nbytes, name)
        insort(self._allocations, allocation)
        insort(self._addresses, allocation.address)
        return allocation.address

    def free(self, address: int) -> None:
        """Give back what was allocated at this address."""
        at = bisect_right(self._addresses, address) - 1
        if at < 0 or self._addresses[at] != address:
            raise DeviceError(f"nothing was allocated at {address:#x}, so it cannot be freed")
        del self._addresses[at]
        allocation = self._allocations.pop(at)
        self._freed.append(allocation)
        self._freed_bytes += allocation.nbytes
        while self._freed_bytes > _KEPT_AFTER_FREE:
            self._freed_bytes -= self._freed.popleft().nbytes

    def find(self, address: int) -> Allocation | None:
        """The allocation in which an address lies."""
        at = bisect_right(self._addresses, address) - 1
        if at < 0:
            return None
        allocation = self._allocations[at]
        return allocation if address < allocation.address + allocation.nbytes else None

    def name(self, address: int, name: str) -> None:
        """Give the allocation at an address another name."""
        self._owned(address, 0).name = name

    def set_read_only(self, address: int, read_only: bool = True) -> None:
        """Forbid kernels, or allow them again, to write the allocation at this address."""
        self._owned(address, 0).read_only = read_only

    def upload(self, address: int, array: np.ndarray) -> None:
        """Write the elements of an array, in C order, from this address on."""
        self.write(address, np.ascontiguousarray(array).reshape(-1).view(np.uint8))

    def download(self, address: int, array: np.ndarray) -> None:
        """Fill an array, in C order, with what lies from this address on."""
        allocation = self._owned(address, array.nbytes)
        begin = address - allocation.address
        found = allocation.data[begin : begin + array.nbytes].view(array.dtype)
        array[...] = found.reshape(array.shape)

    def fill(self, address: int, value: np.generic, count: int) -> None:
        """Write the number, in its own type, `count` times from this address on."""
        self.write(address, np.full(count, value).view(np.uint8))

    def copy(self, destination: int, source: int, nbytes: int) -> None:
        """Copy bytes, and with them what is known of each: whether it was ever written."""
        old, new = self._owned(source, nbytes), self._owned(destination, nbytes)
        begin, to = source - old.address, destination - new.address
        new.data[to : to + nbytes] = old.data[begin : begin + nbytes].copy()
        if old.written is None:
            new.mark(to, to + nbytes)
            return
        if new.written is None:
            new.written = np.ones(new.data.size, np.bool_)
        new.written[to : to + nbytes] = old.written[begin : begin + nbytes].copy()
        new.settle()

    def write(self, address: int, data: np.ndarray) -> None:
        """Write bytes, a one-dimensional array of uint8, from this address on."""
        allocation = self._owned(address, data.size)
        begin = address - allocation.address
        allocation.data[begin : begin + data.size] = data
        allocation.mark(begin, begin + data.size)

    def mark_written(self, address: int | None = None) -> None:
        """Take the allocation at an address, or all, as written: what wrote them did not say so."""
        for each in self._allocations if address is None else [self._owned(address, 0)]:
            each.written = None

    def settle(self) -> None:
        """To be called after a launch, which may have completed what was written in part."""
        for each in self._allocations:
            each.settle()

    def table(self) -> np.ndarray:
        """(n, 3) int64: first byte, end, and 1 where a kernel may write, sorted by the first."""
        rows = [
            (each.address, each.address + each.nbytes, not each.read_only)
            for each in self._allocations
        ]
        return np.array(rows, np.int64).reshape(-1, 3)

    def load(self, kernel: Kernel) -> dict[str, int]:
        """The addresses of a kernel's variables in global and const memory.

        They are placed when they are first asked for, and are those of their module: other kernels
        of it find them there too.
        """
        for variable in kernel.globals.values():
            if variable not in self._variables:
                self._variables[variable] = self._place(variable)
        return {name: self._variables[each] for name, each in kernel.globals.items()}

    def _place(self, variable: Variable) -> int:
        address = self.allocate(variable.size, variable.name)
        data = variable.data.ljust(variable.size, b"\0")  # PTX: the others are 0
        self.write(address, np.frombuffer(data, np.uint8))
        self.set_read_only(address, variable.space == "const")
        return address

    def _owned(self, address: int, nbytes: int) -> Allocation:
        """The allocation in which so many bytes from an address on lie."""
        allocation = self.find(address)
        if allocation is None or address + nbytes > allocation.address + allocation.nbytes:
            raise DeviceError(f"{nbytes} bytes at {address:#x} are {self.describe(address)}")
        return allocation

    def describe(self, address: int) -> str:
        """What an address is that no access may touch, for the end of a sentence."""
        for freed in self._freed:
            if freed.address <= address < freed.address + freed.nbytes:
                return f"in {freed}, which were freed"
        found = self.find(address)
        if found:
            return f"not all in {found}"
        if not self._allocations:
            return "not in memory of the GPU, of which none is allocated"
        at = bisect_right(self._addresses, address)
        before, after = (
            self._allocations[max(0, at - 1)],
            self._allocations[min(at, len(self._allocations) - 1)],
        )
        places = (
            (address - before.address - before.nbytes, f"after the end of {before}"),
            (after.address - address, f"before {after}"),
        )
        distance, place = min(each for each in places if each[0] >= 0)
        if distance > _FAR:
            return "not in memory of the GPU"
        return f"{distance} bytes {place}" if distance else f"right {place}"
