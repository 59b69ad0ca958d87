"""What communicators have in common that are made of others."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Protocol

from .communicator import Communicator


class Part(Protocol):
    """A communicator, or what works like one for some collectives."""

    iteration: int
    bytes_sent: int

    def close(self) -> None:
        """Free what it holds; a second call does nothing."""
        ...


class Composed(Communicator):
    """A communicator of several parts, which it owns: they share the iteration, and their end."""

    def __init__(self, rank: int, world_size: int, parts: Sequence[Part]) -> None:
        self.rank = rank
        self.world_size = world_size
        self._parts = tuple(parts)

    @property
    def iteration(self) -> int:
        """The solver's iteration."""
        return self._parts[0].iteration

    @iteration.setter
    def iteration(self, number: int) -> None:
        for part in self._parts:
            part.iteration = number

    @property
    def bytes_sent(self) -> int:
        """What this rank has given to all its neighbours so far, without headers."""
        return sum(part.bytes_sent for part in self._parts)

    @bytes_sent.setter
    def bytes_sent(self, count: int) -> None:
        for part in self._parts:
            part.bytes_sent = 0
        self._parts[0].bytes_sent = count

    def close(self) -> None:
        """Close all parts."""
        for part in self._parts:
            part.close()

    @contextmanager
    def _as_one(self) -> Iterator[None]:
        """What goes wrong in one part ends all of them, so that every neighbour hears of it."""
        try:
            yield
        except BaseException:
            self.close()
            raise
