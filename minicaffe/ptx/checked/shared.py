"""Shared memory, with what makes it hard: races between threads that no barrier keeps apart."""

from typing import NoReturn

from ..instruction import TYPES
from .copies import WORD, Copies
from .lanes import Lanes
from .races import Access, Races
from .window import ATOMIC, READ, WRITE, Place, Window

_VERBS = {READ: "read", WRITE: "wrote", ATOMIC: "changed by an atomic operation"}
_NOT_WITH = {READ: (WRITE, ATOMIC), WRITE: (WRITE, READ, ATOMIC), ATOMIC: (WRITE, READ)}


class SharedMemory(Window):
    """The shared memories of the blocks of a batch."""

    def __init__(self, lanes: Lanes) -> None:
        size = lanes.kernel.shared_bytes + lanes.launch.shared_bytes
        super().__init__(lanes, "shared", size, lanes.cta)
        self.copies = Copies(lanes.lanes)
        word = 1 if _has_small_accesses(lanes) else WORD.itemsize
        self.races = Races(self.bytes.size, lanes.thread, word) if lanes.checks else None

    def barrier(self) -> None:
        """All threads of each block have met."""
        if self.races:
            self.races.barrier()

    def warp_sync(self) -> None:
        """The lanes of the mask have met those of their warps."""
        if self.races and self.size:
            self.races.warp_sync(self.lanes.mask.index)

    def wait(self, groups_left: int | None) -> None:
        """Finish the copies that the lanes of the mask wait for; see `Copies.finished`."""
        for copy in self.copies.finished(self.lanes.mask, groups_left):
            copy.write(self.bytes.view(WORD))
            if self.races:  # from now on these lanes see what they copied, others after a barrier
                size = copy.words * WORD.itemsize
                index = copy.rows[2] * WORD.itemsize
                self.races.note(WRITE, Access(copy.rows[0], index, size, *copy.reach))

    def _check(self, place: Place, access: str) -> None:
        assert self.races is not None
        waiting = self.copies.conflict(place, self.bytes.size)
        if waiting is not None:
            self._fail(
                place,
                waiting,
                f"{access} of shared memory into which a cp.async copies",
                "nobody has waited for the copy",
            )
        this = Access(place.mask.index, place.index, place.size, place.low, place.stop)
        for other in _NOT_WITH[access]:
            found = self.races.conflict(other, this)
            if found is not None:
                number, thread = found
                one = f"thread {self.lanes.index_of_thread(thread)}"
                self._fail(
                    place,
                    number,
                    f"race in shared memory: {access} of what another thread {_VERBS[other]}",
                    f"{one if thread >= 0 else 'several threads'} did so since the last barrier",
                )
        self.races.note(access, this)

    def _fail(self, place: Place, number: int, kind: str, detail: str) -> NoReturn:
        lane = int(place.mask.index[number])
        address = int(place.at[number if place.at.size > 1 else 0])
        raise self.lanes.fault(kind, lane, address, detail)


def _has_small_accesses(lanes: Lanes) -> bool:
    """Whether the kernel reaches for less than a word of shared memory."""
    return any(
        each.opcode in ("ld", "st")
        and each.space in ("shared", "generic")
        and TYPES[each.type].itemsize < WORD.itemsize
        for each in lanes.kernel.instructions
    )
