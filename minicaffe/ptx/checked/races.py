"""Who touched which word of shared memory since the last barrier, and may therefore not be met.

Kernels with barriers in the right places read here and write there. So each access first compares
ranges of addresses, and looks at words only where these overlap; reads are kept as a list until
a write needs to know of them. Threads of one warp are kept apart by bar.warp.sync as well.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np

from .window import ATOMIC, READ, WRITE

WARP = 32
_OWNERS = 4096  # a code is clock * _OWNERS + owner, and an owner is a thread of a block,
_WARP = 1024  # or this + the number of a warp: several of its threads,
_MANY = _OWNERS - 1  # or threads of several warps
_MOST_READS = 256  # in the list, before they go to the table
_NOWHERE = (1 << 62, -1)


@dataclass(frozen=True, slots=True)
class Access:
    """An access by one instruction.

    lanes, index   who, and the first byte of each, or one for all
    size           bytes of a lane
    low, stop      the first byte and the end, in some block's memory
    """

    lanes: np.ndarray
    index: np.ndarray
    size: int
    low: int
    stop: int

    def words(self, word: int) -> Iterator[np.ndarray]:
        """The words of this size that the lanes touch, first those that come first."""
        first = np.broadcast_to(self.index // word, self.lanes.size)
        for offset in range(-(-self.size // word)):
            yield first + offset


class _Table:
    """For each word when it was touched last and by whom, as one number: a code."""

    def __init__(self, words: int) -> None:
        self.codes = np.zeros(words, np.int64)
        self.range = _NOWHERE

    def overlaps(self, access: Access) -> bool:
        return access.low < self.range[1] and self.range[0] < access.stop

    def extend(self, access: Access) -> None:
        self.range = min(self.range[0], access.low), max(self.range[1], access.stop)

    def note(self, words: np.ndarray, codes: np.ndarray, since: int) -> None:
        """Add accesses; where several threads touch a word, all of them become its owner."""
        while True:
            old = self.codes[words]
            new = np.where(old < since, codes, _merged(old, codes))
            changed = new != old
            if not changed.any():
                return
            self.codes[words[changed]] = new[changed]
            since = 0  # from now on each of these words has an owner from among `codes`


class Races:
    """The accesses of a batch to shared memory since the last barrier."""

    def __init__(self, nbytes: int, threads: np.ndarray, word: int) -> None:
        self._word = word
        self._threads = threads
        self._tables = {access: _Table(nbytes // word) for access in (READ, WRITE, ATOMIC)}
        self._reads: list[tuple[Access, int]] = []
        self._clock = 1
        self._since = self._clock * _OWNERS
        self._synced: np.ndarray | None = None  # of each lane: the clock of its warp's last sync

    def barrier(self) -> None:
        """All threads of each block have met: what was before meets nothing that comes."""
        self._clock += 1
        self._since = self._clock * _OWNERS
        self._reads.clear()
        for table in self._tables.values():
            table.range = _NOWHERE

    def warp_sync(self, lanes: np.ndarray) -> None:
        """The threads of these lanes have met others of their warps."""
        self._clock += 1
        if self._synced is None:
            self._synced = np.zeros(self._threads.size, np.int64)
        self._synced[lanes] = self._clock

    def conflict(self, other: str, access: Access) -> tuple[int, int] | None:
        """The first (lane's place in the access, thread; -1: several) that met the other kind."""
        table = self._tables[other]
        if other == READ and any(
            access.low < read.stop and read.low < access.stop for read, _ in self._reads
        ):
            self._fold_reads()
        if not table.overlaps(access):
            return None
        threads = self._threads[access.lanes]
        for words in access.words(self._word):
            codes = table.codes[words]
            recent = codes >= self._since
            if not recent.any():
                continue
            owners = codes % _OWNERS
            bad = recent & (owners != threads)
            if self._synced is not None:
                met = codes // _OWNERS < self._synced[access.lanes]
                bad &= ~(met & (_warps(owners) == threads // WARP))
            if bad.any():
                number = int(np.flatnonzero(bad)[0])
                return number, int(owners[number]) if owners[number] < _WARP else -1
        return None

    def note(self, kind: str, access: Access) -> None:
        """Remember an access."""
        if kind == READ:
            self._reads.append((access, self._clock))
            if len(self._reads) > _MOST_READS:
                self._fold_reads()
            return
        table = self._tables[kind]
        table.extend(access)
        codes = self._clock * _OWNERS + self._threads[access.lanes]
        for words in access.words(self._word):
            if kind == WRITE:
                table.codes[words] = codes
            else:
                table.note(words, codes, self._since)

    def _fold_reads(self) -> None:
        """Bring the list of reads into the table."""
        table = self._tables[READ]
        for access, clock in self._reads:
            table.extend(access)
            codes = clock * _OWNERS + self._threads[access.lanes]
            for words in access.words(self._word):
                table.note(words, codes, self._since)
        self._reads.clear()


def _warps(owners: np.ndarray) -> np.ndarray:
    """The warp to which an owner belongs; a number that no warp has for several."""
    return np.where(owners < _WARP, owners // WARP, owners - _WARP)


def _merged(old: Any, new: Any) -> Any:
    """The codes of words that the owners of both have touched."""
    clock = np.maximum(old // _OWNERS, new // _OWNERS)
    one, two = old % _OWNERS, new % _OWNERS
    warp = _warps(one)
    several = np.where(warp == _warps(two), _WARP + warp, _MANY)
    return clock * _OWNERS + np.where(one == two, one, several)
