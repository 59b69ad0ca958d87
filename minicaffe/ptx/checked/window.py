"""Memory of which every block, or every thread, has a piece of its own: shared and local memory."""

from dataclasses import dataclass
from typing import NoReturn

import numpy as np

from .lanes import Lanes, Mask, Value

READ, WRITE, ATOMIC = "read", "write", "atomic access"


class Window:
    """Pieces of `size` bytes, one after the other; an address counts from 0 in each of them.

    owners   the number of the piece of each lane
    written  of each byte whether it was written
    """

    def __init__(self, lanes: Lanes, space: str, size: int, owners: np.ndarray) -> None:
        self.lanes, self.space, self.size = lanes, space, size
        self.stride = -(-size // 16) * 16
        self.pieces = int(owners[-1]) + 1
        self.bytes = np.zeros(self.pieces * self.stride, np.uint8)
        self.written = np.zeros(self.bytes.size if lanes.checks else 0, np.bool_)
        self.begin = owners * self.stride if self.pieces > 1 else np.zeros(1, np.intp)

    def locate(
        self, address: Value, dtype: np.dtype, count: int, access: str
    ) -> tuple[np.ndarray, np.ndarray]:
        """(the memory as numbers of this type, where in it the mask's lanes find the first).

        The second has an element for each lane of the mask, or one where all find the same.
        Raises EmulatorFault if an address is not in the piece or not a multiple of its size, or if
        nothing was written yet of what is read.
        """
        lanes, size = self.lanes, dtype.itemsize * count
        at = lanes.active(address)
        low, stop = int(at.min()), int(at.max()) + size
        if stop > self.size:
            self.fail(at + np.uint64(size) > self.size, at, size, access, "out of bounds")
        if size > 1 and int(np.bitwise_or.reduce(at)) & (size - 1):
            self.fail(at & np.uint64(size - 1) != 0, at, size, access, "misaligned")
        index = at.view(np.intp) + lanes.active(self.begin)
        if lanes.checks:
            place = Place(lanes.mask, at, index, low, stop, size)
            self._note(place, access)
            self._check(place, access)
        return self.bytes.view(dtype), index >> (dtype.itemsize.bit_length() - 1)

    def _check(self, place: "Place", access: str) -> None:
        """What else the lanes of the mask must not do; shared memory has races."""

    def _note(self, place: "Place", access: str) -> None:
        """Mark bytes as written, or check that they were."""
        low, stop, size = place.low, place.stop, place.size
        if access != WRITE and self.written.reshape(self.pieces, -1)[:, low:stop].all():
            return
        words = self.written.view(f"u{min(size, 8)}")
        ones = np.array(0x0101010101010101, np.uint64).astype(words.dtype)
        for begin in range(0, size, words.itemsize):
            where = (place.index + begin) // words.itemsize
            if access == WRITE:
                words[where] = ones
                continue
            bad = words[where] != ones
            if bad.any():
                self.fail(bad, place.at, size, access, "never written")

    def fail(self, bad: np.ndarray, at: np.ndarray, size: int, access: str, what: str) -> NoReturn:
        """Raise the fault of the first lane of the mask that is bad."""
        number = int(np.flatnonzero(bad)[0])
        raise self.lanes.fault(
            f"{access} of {self.space} memory {what}",
            int(self.lanes.mask.index[number]),
            int(at[number if at.size > 1 else 0]),
            f"{size} bytes, of {self.size} that there are",
        )


@dataclass(frozen=True, slots=True)
class Place:
    """Where an access goes.

    mask        whose access it is
    at, index   of the mask's lanes: the address, and the byte in the memory of all pieces
    low, stop   the first and the end of the bytes that are reached, in some piece
    size        bytes of a lane
    """

    mask: Mask
    at: np.ndarray
    index: np.ndarray
    low: int
    stop: int
    size: int
