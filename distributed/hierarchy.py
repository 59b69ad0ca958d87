"""Hierarchy: the ranks of a host reduce among themselves, and one ring of hosts does the rest.

# H hosts, L ranks on each, S bytes; here H = 2, L = 2. Rank k of a host carries chunk k.

    host 0   rank 0: [a0 b0]   rank 1: [a1 b1]      1  reduce-scatter inside
             rank 0: [a01  ]   rank 1: [  b01]
    host 1   rank 2: [a23  ]   rank 3: [  b23]      2  allreduce between hosts, a ring a chunk
             rank 0: [a0123]   rank 1: [  b0123]    3  allgather inside

Every local rank carries a chunk of its own between the hosts: K rings side by side, where K is the
least number of ranks that a host has; on hosts with more the others only take part inside.

                             carried by K ranks (here)        by one leader a host
    sent between hosts       2 S (H - 1) / H a host           the same
    by one rank of it        2 S (H - 1) / (H K)              2 S (H - 1) / H
    sent inside, a rank      <= 2 S (L - 1) / L (K = L)       S to the leader, S back, L links
    messages, a rank         2 (L - 1) + 2 (H - 1)            the same, and the leader's alone
                             (L - 1 and L - 1 inside)         between hosts

The link between the hosts carries the same, but its packets cost processor time: K ranks spend it
at once, a leader alone while the others wait. One ring of all H L ranks would send 2 S (H L - 1) /
(H L) from host to host, nearly twice as much for H = 2, if it left each host but once, and that as
often as it leaves it; and it takes 2 (H L - 1) steps.

Sums are formed in an order that follows from which ranks share a host: the same bits on all ranks,
and in every run with the same ranks on the same hosts.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import accumulate, pairwise

import numpy as np

from minicaffe.errors import CommunicationError

from .communicator import Array, chunk_bounds, flat_view
from .composed import Composed
from .ring import RingCommunicator

Groups = Sequence[Sequence[int]]  # the ranks of each host, ascending; hosts by their first rank


def carriers(groups: Groups) -> int:
    """How many ranks of each host have a link to the other hosts."""
    return min(len(group) for group in groups)


class HierarchicalCommunicator(Composed):
    """The collectives over a ring inside each host and rings between hosts; owns both.

    inside: the ring of this host's ranks, in the order of `groups`; None for a rank alone.
    between: the ring of the k-th ranks of all hosts, for a rank that carries; else None.
    """

    def __init__(
        self,
        rank: int,
        groups: Groups,
        inside: RingCommunicator | None,
        between: RingCommunicator | None,
    ) -> None:
        parts = [part for part in (inside, between) if part is not None]
        super().__init__(rank, sum(map(len, groups)), parts)
        self._groups = [list(group) for group in groups]
        self._places = {
            of: (host, place) for host, group in enumerate(groups) for place, of in enumerate(group)
        }
        self._host, self._place = self._places[rank]
        self._carriers = carriers(groups)
        self.inside = inside
        self.between = between

    def allreduce(self, array: Array, cuts: Sequence[int] = (), compress: str = "none") -> None:
        """See the file. With `cuts` chunk k is made of chunk k of every part.

        `compress` is for what goes between hosts: inside them nothing is rounded.
        """
        flat = flat_view(array)
        parts = [
            [start + bound for bound in self._chunks(end - start)]
            for start, end in pairwise([0, *cuts, flat.size])
        ]
        with self._as_one():
            if self.inside is not None:
                self.inside.reduce_scatter(flat, parts)
            if self.between is not None:
                own = [flat[bounds[self._place] : bounds[self._place + 1]] for bounds in parts]
                _reduce_together(self.between, own, compress)
            if self.inside is not None:
                self.inside.allgather(flat, parts)

    def reduce_scatter(self, array: Array) -> Array:
        """An allreduce: the other chunks hold sums too."""
        self.allreduce(array)
        flat = flat_view(array)
        bounds = chunk_bounds(flat.size, self.world_size)
        return flat[bounds[self.rank] : bounds[self.rank + 1]]

    def allgather(self, array: Array) -> None:
        """Inside each host, between the first ranks of all hosts, and to the others inside."""
        flat = flat_view(array)
        bounds = chunk_bounds(flat.size, self.world_size)
        everything, chunks = self._by_host(bounds, flat)
        chunks[self.rank][...] = flat[bounds[self.rank] : bounds[self.rank + 1]]
        self._gather(everything, chunks)
        for rank, chunk in chunks.items():
            flat[bounds[rank] : bounds[rank + 1]] = chunk

    def allgather_bytes(self, content: bytes) -> list[bytes]:
        """Two allgathers: the lengths, then the contents."""
        lengths = np.zeros(self.world_size, np.int64)
        lengths[self.rank] = len(content)
        self.allgather(lengths)
        bounds = [0, *np.cumsum(lengths).tolist()]
        everything, chunks = self._by_host(bounds, np.empty(0, np.uint8))
        chunks[self.rank][...] = np.frombuffer(content, np.uint8)
        self._gather(everything, chunks)
        return [chunks[rank].tobytes() for rank in range(self.world_size)]

    def broadcast(self, array: Array, root: int = 0) -> None:
        """Inside the root's host, from its first rank to those of the others, and inside these."""
        if not 0 <= root < self.world_size:
            raise CommunicationError(
                f"rank {self.rank}: no rank {root} to broadcast from (there are {self.world_size})"
            )
        host, place = self._places[root]
        with self._as_one():
            if self._host == host and self.inside is not None:
                self.inside.broadcast(array, place)
            if self._place == 0 and self.between is not None:
                self.between.broadcast(array, host)
            if self._host != host and self.inside is not None:
                self.inside.broadcast(array, 0)

    def add_to(self, array: Array, source: int, target: int) -> None:
        """Inside the source's host to a rank that carries, to the target's host, and inside it."""
        (host, start), (there, end) = self._places[source], self._places[target]
        flat = flat_view(array)
        with self._as_one():
            if host == there:
                if self._host == host and self.inside is not None:
                    self.inside.add_to(flat, start, end)
                return
            column = next(place for place in (end, start, 0) if place < self._carriers)
            at_either_end = self._place == column and self._host in (host, there)
            passes_on = at_either_end and self.rank not in (source, target)
            passing = _nothing_like(flat) if passes_on else flat
            if self._host == host and start != column and self.inside is not None:
                self.inside.add_to(passing, start, column)
            if self._place == column and self.between is not None:
                self.between.add_to(passing, host, there)
            if self._host == there and end != column and self.inside is not None:
                self.inside.add_to(passing, column, end)

    def barrier(self) -> None:
        """Nobody leaves the last one inside before the first rank has heard of all hosts."""
        with self._as_one():
            if self.inside is not None:
                self.inside.barrier()
            if self._place == 0 and self.between is not None:
                self.between.barrier()
            if self.inside is not None:
                self.inside.barrier()

    def _chunks(self, count: int) -> list[int]:
        """The bounds of a part's chunks: one for each rank that carries, none for the others."""
        idle = len(self._groups[self._host]) - self._carriers
        return chunk_bounds(count, self._carriers) + [count] * idle

    def _by_host(self, bounds: Sequence[int], like: Array) -> tuple[Array, dict[int, Array]]:
        """Memory for all ranks' chunks, a host's side by side, and each rank's place in it."""
        everything = np.empty(bounds[-1], like.dtype)
        order = [rank for group in self._groups for rank in group]
        edges = [0, *accumulate(bounds[rank + 1] - bounds[rank] for rank in order)]
        places = zip(order, pairwise(edges), strict=True)
        return everything, {rank: everything[start:end] for rank, (start, end) in places}

    def _gather(self, everything: Array, chunks: dict[int, Array]) -> None:
        """Fill in `everything`, of which this rank has its own chunk."""
        sizes = [[chunks[rank].size for rank in group] for group in self._groups]
        hosts = [0, *accumulate(map(sum, sizes))]
        with self._as_one():
            if self.inside is not None:
                here = everything[hosts[self._host] : hosts[self._host + 1]]
                self.inside.allgather(here, [[0, *accumulate(sizes[self._host])]])
            if self._place == 0 and self.between is not None:
                self.between.allgather(everything, [hosts])
            if self.inside is not None:
                self.inside.broadcast(everything)


def _reduce_together(ring: RingCommunicator, parts: Sequence[Array], compress: str) -> None:
    """Sum several arrays over a ring, in the messages of one and with the bits of each alone."""
    if len(parts) == 1:
        ring.allreduce(parts[0], compress=compress)
        return
    together = np.concatenate(parts)
    edges = [0, *accumulate(part.size for part in parts)]
    ring.allreduce(together, edges[1:-1], compress)
    for part, (start, end) in zip(parts, pairwise(edges), strict=True):
        part[...] = together[start:end]


def _nothing_like(flat: Array) -> Array:
    """An array to which adding something gives that, bit for bit: zeros that are below zero."""
    nothing = np.zeros_like(flat)
    return np.negative(nothing, out=nothing) if flat.dtype.kind == "f" else nothing
