"""A batch: the lanes of some blocks, and the memory that they reach."""

import numpy as np

from ..instruction import SHARED_WINDOW
from .global_memory import Part, locate
from .lanes import Lanes, Launch, Value
from .shared import SharedMemory
from .window import Window

WINDOW_SHIFT = np.uint64(SHARED_WINDOW.bit_length() - 1)


class Batch(Lanes):
    """Some blocks of a launch, with shared memory of each block and local memory of each thread."""

    def __init__(self, launch: Launch, first: int, blocks: int, registers: int) -> None:
        super().__init__(launch, first, blocks, registers)
        self.shared = SharedMemory(self)
        local = max((each.offset + each.size for each in self.kernel.local.values()), default=0)
        self.local = Window(self, "local", local, np.arange(self.lanes))

    def locate(
        self, space: str, address: Value, dtype: np.dtype, count: int, access: str
    ) -> list[Part]:
        """Where the lanes of the mask find `count` numbers of this type; see `Part`."""
        if space == "generic":
            return self._locate_generic(address, dtype, count, access)
        if self.observer:
            self.observer.accessed(self, space, address, dtype.itemsize * count)
        if space in ("global", "const"):
            return locate(self, address, dtype, count, access)
        window = self.shared if space == "shared" else self.local
        return [Part(self.mask, *window.locate(address, dtype, count, access), space)]

    def _locate_generic(
        self, address: Value, dtype: np.dtype, count: int, access: str
    ) -> list[Part]:
        window = address >> WINDOW_SHIFT
        parts: list[Part] = []
        for space, number in (("global", 0), ("shared", 1), ("local", 2)):
            mask = self.narrowed(window == number)
            if mask:
                with self.only(mask):
                    inside = address - (np.uint64(number) << WINDOW_SHIFT)
                    parts += self.locate(space, inside, dtype, count, access)
        if sum(part.mask.count for part in parts) < self.mask.count:
            lane = int(self.mask.index[int(np.argmax(self.active(window) > 2))])
            raise self.fault(f"{access} of no memory", lane, int(self.whole(address)[lane]))
        return parts

    def gather(self, parts: list[Part], offset: int) -> Value:
        """What lies at the places of these parts, so many elements on."""
        if len(parts) == 1:
            view, index = parts[0].view, parts[0].index
            return self.spread(view[index + offset if offset else index])
        whole = np.zeros(self.lanes, parts[0].view.dtype)
        for part in parts:
            whole[part.mask.index] = part.view[part.index + offset]
        return whole

    def scatter(self, parts: list[Part], offset: int, value: Value, address: Value) -> None:
        """Write a value to the places of these parts, so many elements on.

        Raises EmulatorFault, with the address, where threads write different values to one place.
        """
        for part in parts:
            mask, view, index = part.mask, part.view, part.index
            chosen = value if value.size == 1 or mask.full else value[mask.index]
            if index.size < chosen.size:
                index = np.broadcast_to(index, chosen.size)
            place = index + offset if offset else index
            view[place] = chosen
            if self.checks and chosen.size > 1:
                lost = _lost(view, place, chosen)
                if lost is not None:
                    lane, other = int(mask.index[lost[0]]), int(mask.index[lost[1]])
                    raise self.fault(
                        "lost write: threads write different values to one place",
                        lane,
                        int(self.whole(address)[lane]) + offset * view.dtype.itemsize,
                        f"thread {self.index_of_thread(int(self.thread[other]))} too",
                    )


def _lost(view: np.ndarray, place: np.ndarray, value: np.ndarray) -> tuple[int, int] | None:
    """Of values that were written to these places, one that is not there, and one that is."""
    if (place[1:] > place[:-1]).all():
        return None
    bits = np.dtype(f"u{view.dtype.itemsize}")
    lost = view[place].view(bits) != value.view(bits)
    if not lost.any():
        return None
    number = int(np.flatnonzero(lost)[0])
    return number, int(np.flatnonzero(place == place[number])[-1])
