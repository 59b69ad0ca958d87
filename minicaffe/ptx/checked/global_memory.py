"""Global memory as the lanes of a lanes reach it: every access lies in one allocation, or fails."""

from dataclasses import dataclass
from typing import NoReturn

import numpy as np

from ..memory import Allocation
from .lanes import Lanes, Mask, Value
from .window import READ, WRITE


@dataclass(frozen=True, slots=True)
class Part:
    """Lanes that find what they look for in one array: `index` has an element a lane, or one."""

    mask: Mask
    view: np.ndarray
    index: np.ndarray
    space: str


def locate(lanes: Lanes, address: Value, dtype: np.dtype, count: int, access: str) -> list[Part]:
    """Where the mask's lanes find `count` numbers of this type; mostly in one array.

    Raises EmulatorFault for an address outside of all allocations, or that is not a multiple of
    the size, for a write into what is read-only, and for a read of what was never written.
    """
    memory, size = lanes.launch.memory, dtype.itemsize * count
    at = lanes.active(address)
    low, high = int(at.min()), int(at.max())
    allocation = memory.find(low)
    if allocation is None or high + size > allocation.address + allocation.nbytes:
        return _split(lanes, address, dtype, count, access)
    offset = at - np.uint64(allocation.address)
    if size > 1 and int(np.bitwise_or.reduce(offset)) & (size - 1):
        bad = offset & np.uint64(size - 1) != 0
        _fail(lanes, bad, at, f"{access} of global memory misaligned", f"{size} bytes at once")
    index = offset.view(np.intp)
    if access != READ and allocation.read_only:
        bad = np.ones(at.size, np.bool_)
        _fail(lanes, bad, at, f"{access} of read-only global memory", f"{allocation}")
    if allocation.written is not None:
        _note(lanes, allocation, at, index, size, access)
    return [Part(lanes.mask, allocation.view(dtype), index // dtype.itemsize, "global")]


def _split(lanes: Lanes, address: Value, dtype: np.dtype, count: int, access: str) -> list[Part]:
    """The parts of lanes whose addresses lie in several allocations, or in none."""
    memory, size = lanes.launch.memory, dtype.itemsize * count
    at = lanes.whole(address)
    left = lanes.mask.lanes.copy()
    parts: list[Part] = []
    while left.any():
        lane = int(np.flatnonzero(left)[0])
        allocation = memory.find(int(at[lane]))
        if allocation is None or int(at[lane]) + size > allocation.address + allocation.nbytes:
            bad = np.arange(lanes.lanes)[lanes.mask.lanes] == lane
            why = f"{size} bytes, {memory.describe(int(at[lane]))}"
            _fail(lanes, bad, at[lanes.mask.lanes], f"{access} of global memory out of bounds", why)
        last = allocation.address + allocation.nbytes - size
        here = left & (at >= np.uint64(allocation.address)) & (at <= np.uint64(last))
        mask = lanes.narrowed(here)
        assert mask is not None
        with lanes.only(mask):
            parts += locate(lanes, at, dtype, count, access)
        left &= ~here
    return parts


def _note(
    lanes: Lanes,
    allocation: Allocation,
    at: np.ndarray,
    index: np.ndarray,
    size: int,
    access: str,
) -> None:
    """Mark bytes as written, or check that they were."""
    written = allocation.written
    assert written is not None
    if access != WRITE and not lanes.checks:
        return
    low, stop = int(index.min()), int(index.max()) + size
    if stop - low <= 8 * size * index.size and written[low:stop].all():
        return
    words = written.view(f"u{min(size, 8)}")
    ones = np.array(0x0101010101010101, np.uint64).astype(words.dtype)
    for begin in range(0, size, words.itemsize):
        place = (index + begin) // words.itemsize
        if access != WRITE:
            bad = words[place] != ones
            if bad.any():
                _fail(lanes, bad, at, f"{access} of global memory never written", f"{allocation}")
        else:
            words[place] = ones


def _fail(lanes: Lanes, bad: np.ndarray, at: np.ndarray, kind: str, detail: str) -> NoReturn:
    number = int(np.flatnonzero(bad)[0])
    lane = int(lanes.mask.index[number])
    raise lanes.fault(kind, lane, int(at[number if at.size > 1 else 0]), detail)
