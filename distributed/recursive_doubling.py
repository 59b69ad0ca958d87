"""Recursive doubling: the allreduce of small arrays, log2 P steps of the whole array.

# P ranks, S bytes. In step d rank r exchanges all it has with rank r ^ 2^d, and both add.

    step 0    0 -- 1   2 -- 3     x0+x1  x0+x1  x2+x3  x2+x3
    step 1    0 ------ 2          (x0+x1) + (x2+x3) on all four
              1 ------ 3

Messages and bytes sent a rank: log2 P and S log2 P, where the ring takes 2 (P - 1) and
2 S (P - 1) / P. So it wins while the time of a step is mostly latency (alpha), whatever the size:

    time    log2 P (alpha + S beta)    ring    2 (P - 1) alpha + 2 S beta (P - 1) / P

With two ranks it sends no more than the ring does, in one step for two.

Where P is no power of two, Q is the one below it: rank Q + i first gives its array to rank i, and
gets the sum in the end. That is two steps and 2 S bytes more for who has such a partner.

The sum is a fixed tree, by rank: ((x0 + xQ) + (x1 + xQ+1)) + ... Both partners add the same two
arrays, and a + b has the bits of b + a (but for which of two NaNs is handed on): all ranks come to
the same bits. Each element's sum depends on the ranks alone, not on its place or what else travels.

After Thakur, Rabenseifner and Gropp, Optimization of collective communication operations (2005).
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from .communicator import Array
from .frames import CHECKED, DTYPES, Frame, Kind, make_frame
from .transport import Transport


def partners(rank: int, world_size: int) -> list[int]:
    """With whom a rank exchanges, in turn; a rank that only gives and gets has one partner."""
    core = _core(world_size)
    if rank >= core:
        return [rank - core]
    extra = [rank + core] if rank + core < world_size else []
    return [*extra, *(rank ^ (1 << step) for step in range(core.bit_length() - 1))]


def _core(world_size: int) -> int:
    """The greatest power of two that is not above it."""
    return 1 << (world_size.bit_length() - 1)


class RecursiveDoubling:
    """Sums over all ranks by links to `partners`, each a ring of two; owns their transports.

    `limit`: the most bytes of an array; it keeps twice as many. With `crc` every payload carries
    its CRC-32. One that has raised is of no use any more.
    """

    def __init__(
        self,
        links: Mapping[int, Transport],
        rank: int,
        world_size: int,
        limit: int,
        *,
        crc: bool = False,
    ) -> None:
        """links: the transport to each of `partners(rank, world_size)`."""
        self.limit = limit
        self.iteration = 0
        self.bytes_sent = 0
        self._rank = rank
        self._links = dict(links)
        self._partners = partners(rank, world_size)
        self._core = _core(world_size)
        self._flags = CHECKED if crc else 0
        self._here = np.empty(limit, np.uint8)
        self._there = np.empty(limit, np.uint8)
        self._sequence = 0

    def allreduce(self, flat: Array) -> None:
        """Replace an array of one dimension and at most `limit` bytes by its sum.

        What travels is a copy, always in the same memory: a card must know memory before it reads
        or writes it, and to tell it of an array that is used but once takes longer than the copies.
        """
        here = self._here[: flat.nbytes].view(flat.dtype)
        here[...] = flat
        self._pass(Kind.DOUBLING, here)
        flat[...] = here

    def barrier(self) -> None:
        """Return when every rank has called it: no rank ends before it has heard of all."""
        self._pass(Kind.BARRIER, self._here[:0])

    def close(self) -> None:
        """Close all links."""
        for transport in self._links.values():
            transport.close()

    def _pass(self, kind: Kind, flat: Array) -> None:
        """Give, exchange and get back; see the file."""
        there = self._there[: flat.nbytes].view(flat.dtype)
        if self._rank >= self._core:
            (partner,) = self._partners
            self._move(partner, kind, flat, None)
            self._move(partner, kind, None, flat)
        for partner in self._partners if self._rank < self._core else ():
            extra = partner >= self._core
            self._move(partner, kind, None if extra else flat, there)
            np.add(flat, there, out=flat)
        if self._rank < self._core <= self._partners[0]:
            self._move(self._partners[0], kind, flat, None)
        self._sequence += 1

    def _move(self, partner: int, kind: Kind, to: Array | None, into: Array | None) -> None:
        """Send an array to the partner while another one is filled by its own.

        Both are whole before either is touched again: a sum overwrites what was sent.
        """
        gone = [] if to is None else [self._frame(kind, to)]
        awaited = [] if into is None else [self._frame(kind, into)]
        for _ in self._links[partner].sendrecv(gone, awaited, len(gone)):
            pass
        if to is not None:
            self.bytes_sent += to.nbytes

    def _frame(self, kind: Kind, flat: Array) -> Frame:
        tag = kind | self._flags, DTYPES[flat.dtype]
        return make_frame(*tag, 0, 0, self._sequence, self.iteration, flat.view(np.uint8).data)
