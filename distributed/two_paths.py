"""Two ways round: small arrays by recursive doubling, large ones by another communicator.

Which way an array goes is a matter of its size alone, by one number for all ranks, transports and
runs: a part of a larger array (see `cuts`) goes the way that it would go alone, and so has the same
bits.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

import numpy as np

from .communicator import Array, Communicator, chunk_bounds, flat_view
from .composed import Composed
from .compression import check_compression
from .recursive_doubling import RecursiveDoubling

# The largest array that goes by doubling, in bytes; see docs/ring.md for what it was measured by.
DOUBLING_BYTES = 32 << 10

# An allgather sends so many bytes a rank and more the other way: doubling sends all of them in each
# step, the ring each chunk once a link, and with two ranks in one step too.
CHUNK_BYTES = 1 << 10


class TwoPaths(Composed):
    """Arrays of at most `doubling.limit` bytes go by `doubling`, larger ones by `base`; owns both.

    An allgather of something small is a sum too, of arrays that are zero but for one's own chunk.
    """

    def __init__(self, base: Communicator, doubling: RecursiveDoubling) -> None:
        super().__init__(base.rank, base.world_size, [base, doubling])
        self._base = base
        self._doubling = doubling

    def allreduce(self, array: Array, cuts: Sequence[int] = (), compress: str = "none") -> None:
        """Each part goes its way: large ones that lie side by side together, small ones too.

        Small ones travel whole, also with `compress`: their time is not that of their bytes.
        """
        flat = flat_view(array)
        check_compression(compress)
        most = self._doubling.limit // flat.itemsize
        parts = [part for part in pairwise([0, *cuts, flat.size]) if part[0] < part[1]]
        with self._as_one():
            for run in _runs([part for part in parts if part[1] - part[0] > most], flat.size):
                start, end = run[0], run[-1]
                inner = [cut - start for cut in run[1:-1]]
                self._base.allreduce(flat[start:end], inner, compress)
            for run in _runs([part for part in parts if part[1] - part[0] <= most], most):
                self._doubling.allreduce(flat[run[0] : run[-1]])

    def reduce_scatter(self, array: Array) -> Array:
        """By the other communicator."""
        with self._as_one():
            return self._base.reduce_scatter(array)

    def allgather(self, array: Array) -> None:
        """A small one in log2 P steps."""
        flat = flat_view(array)
        if not self._doubles(flat.nbytes):
            with self._as_one():
                return self._base.allgather(array)
        bounds = chunk_bounds(flat.size, self.world_size)
        return self._fill_in(flat, bounds[self.rank], bounds[self.rank + 1])

    def allgather_bytes(self, content: bytes) -> list[bytes]:
        """The lengths, then the contents."""
        if self.world_size == 2:
            with self._as_one():
                return self._base.allgather_bytes(content)
        lengths = np.zeros(self.world_size, np.int64)
        lengths[self.rank] = len(content)
        self.allgather(lengths)
        bounds = [0, *np.cumsum(lengths).tolist()]
        if not self._doubles(bounds[-1]):
            with self._as_one():
                return self._base.allgather_bytes(content)
        everything = np.empty(bounds[-1], np.uint8)
        everything[bounds[self.rank] : bounds[self.rank + 1]] = np.frombuffer(content, np.uint8)
        self._fill_in(everything, bounds[self.rank], bounds[self.rank + 1])
        return [everything[start:end].tobytes() for start, end in pairwise(bounds)]

    def broadcast(self, array: Array, root: int = 0) -> None:
        """By the other communicator."""
        with self._as_one():
            self._base.broadcast(array, root)

    def add_to(self, array: Array, source: int, target: int) -> None:
        """By the other communicator."""
        with self._as_one():
            self._base.add_to(array, source, target)

    def barrier(self) -> None:
        """log2 P steps."""
        with self._as_one():
            self._doubling.barrier()

    def _doubles(self, size: int) -> bool:
        """Whether an allgather of so many bytes goes by doubling."""
        most = min(self._doubling.limit, CHUNK_BYTES * self.world_size)
        return size <= most and self.world_size > 2

    def _fill_in(self, flat: Array, start: int, end: int) -> None:
        """Replace all but flat[start:end] by what the other ranks have there, bit for bit."""
        flat[:start] = 0
        flat[end:] = 0
        if flat.size:
            with self._as_one():
                self._doubling.allreduce(flat.view(np.uint8))


def _runs(parts: Sequence[tuple[int, int]], most: int) -> list[list[int]]:
    """The bounds of parts that lie side by side, joined to runs of at most `most` elements."""
    runs: list[list[int]] = []
    for start, end in parts:
        if runs and runs[-1][-1] == start and end - runs[-1][0] <= most:
            runs[-1].append(end)
        else:
            runs.append([start, end])
    return runs
