"""cp.async: copies from global into shared memory that are done when somebody waits for them.

A GPU may do them any time before that. Here it is as late as allowed, and until then nobody may
touch the bytes that they will write: a missing wait does not go unnoticed.
"""

from collections.abc import Iterator
from dataclasses import dataclass, replace

import numpy as np

from ..instruction import TYPES
from .lanes import Mask
from .window import Place

WORD = TYPES["b32"]
_SIZE = WORD.itemsize


@dataclass(frozen=True, slots=True)
class Copy:
    """Copies of `words` words each, one for each column of `rows`.

    rows     lane, group, first word in shared memory, first word in `source`, bytes that are taken
             from there: the others become 0
    reach    bytes of a block's shared memory, first and end, that some of them write
    """

    rows: np.ndarray
    source: np.ndarray
    words: int
    reach: tuple[int, int]

    def write(self, shared: np.ndarray) -> None:
        """Do them, in shared memory as words."""
        _, _, target, place, given = self.rows
        for word in range(self.words):
            bits = 8 * np.clip(given - _SIZE * word, 0, _SIZE).astype(np.uint64)
            keep = ((np.uint64(1) << bits) - np.uint64(1)).astype(WORD)
            shared[target + word] = self.source[(place + word) % self.source.size] & keep


class Copies:
    """The copies of a batch that nobody has waited for yet."""

    def __init__(self, lanes: int) -> None:
        self._waiting: list[Copy] = []
        self._groups = np.zeros(lanes, np.int64)  # of each lane: how many it has committed

    def issue(
        self,
        lanes: np.ndarray,
        target: np.ndarray,
        source: tuple[np.ndarray, np.ndarray],
        given: np.ndarray,
        words: int,
        reach: tuple[int, int],
    ) -> None:
        """Note copies of these lanes; source is the memory and the first word in it of each."""
        memory, place = source
        columns = lanes, self._groups[lanes], target, np.broadcast_to(place, lanes.size), given
        self._waiting.append(Copy(np.stack(columns), memory, words, reach))

    def commit(self, mask: Mask) -> None:
        """What these lanes have issued becomes a group."""
        self._groups = self._groups + mask.lanes

    def finished(self, mask: Mask, groups_left: int | None) -> Iterator[Copy]:
        """What these lanes wait for: all but their last groups; None: all."""
        waiting, self._waiting = self._waiting, []
        for copy in waiting:
            lane, group = copy.rows[0], copy.rows[1]
            done = mask.lanes[lane]
            if groups_left is not None:
                done = done & (group < self._groups[lane] - groups_left)
            if not done.all():
                self._waiting.append(replace(copy, rows=copy.rows[:, ~done]))
            if done.any():
                yield replace(copy, rows=copy.rows[:, done])

    def conflict(self, place: Place, nbytes: int) -> int | None:
        """The first lane of an access to shared memory, of `nbytes`, that meets a waiting copy."""
        near = [
            each
            for each in self._waiting
            if place.low < each.reach[1] and each.reach[0] < place.stop
        ]
        if not near:
            return None
        waits = np.zeros(nbytes // _SIZE, np.bool_)
        for copy in near:
            for word in range(copy.words):
                waits[copy.rows[2] + word] = True
        bad = np.zeros(place.index.size, np.bool_)
        for begin in range(0, place.size, _SIZE):
            bad |= waits[(place.index + begin) // _SIZE]
        return int(np.flatnonzero(bad)[0]) if bad.any() else None
