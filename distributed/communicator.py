"""The contract of the collectives: what a group of ranks can do together with an array."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from types import TracebackType
from typing import Any, Self

from numpy.typing import NDArray

from minicaffe.errors import CommunicationError

from .frames import DTYPES

Array = NDArray[Any]


def chunk_bounds(count: int, world_size: int) -> list[int]:
    """Where each of `world_size` chunks of `count` elements begins, and where the last one ends.

    Chunks differ by one element at most; with fewer elements than ranks some are empty.
    """
    return [count * rank // world_size for rank in range(world_size + 1)]


def flat_view(array: Array) -> Array:
    """The array as one row in the same memory. Raises CommunicationError if that cannot be."""
    if array.dtype not in DTYPES:
        known = ", ".join(str(dtype) for dtype in DTYPES)
        raise CommunicationError(f"an array of {array.dtype} cannot be sent (only: {known})")
    if not (array.flags.c_contiguous and array.flags.writeable):
        raise CommunicationError("only a C-contiguous, writable array can be reduced in place")
    return array.reshape(-1)


class Communicator(ABC):
    """A fixed group of ranks, 0 to world_size - 1, which all call the same collectives in turn.

    Every collective works in place on a C-contiguous, writable array of float32, float64, int64
    or uint8, any shape, and needs the same count and type on every rank. When it returns, this
    rank's array may be used; the other ranks may still be at work. Results are bit-equal on all
    ranks and from run to run.

    One thread at a time. What goes wrong on any rank raises CommunicationError on all of them, and
    the group is of no use after that: close it and form a new one.
    """

    rank: int
    world_size: int

    #: The solver's iteration. It travels with the data: ranks at different iterations never mix.
    iteration: int = 0

    #: What this rank has given to its neighbours so far, without headers.
    bytes_sent: int = 0

    #: How the ranks were connected, and why not better, where that was chosen: a line for the log.
    links: str = ""

    @abstractmethod
    def allreduce(self, array: Array, cuts: Sequence[int] = (), compress: str = "none") -> None:
        """Replace `array` by its sum over all ranks, added in a fixed order.

        `cuts`, ascending, part it (along its flat view): the sums are bit for bit those of one
        allreduce for each part, and it takes the messages of one for all. With `compress` "bf16"
        or "fp16" float32 travels in 2 bytes, rounded (compression.py); other types stay whole.
        """

    @abstractmethod
    def reduce_scatter(self, array: Array) -> Array:
        """Sum chunk `rank` of `array` over all ranks and return it, a flat view of `array`.

        The chunks are those of `chunk_bounds`; the other chunks hold partial sums afterwards.
        """

    @abstractmethod
    def allgather(self, array: Array) -> None:
        """Fill in the chunks of `array`, of which each rank brings its own (see `chunk_bounds`)."""

    @abstractmethod
    def allgather_bytes(self, content: bytes) -> list[bytes]:
        """The contents of all ranks, by rank; they may differ in length. For small things."""

    @abstractmethod
    def broadcast(self, array: Array, root: int = 0) -> None:
        """Replace `array` by the one that rank `root` has."""

    @abstractmethod
    def add_to(self, array: Array, source: int, target: int) -> None:
        """Add the array of rank `source` to that of rank `target`, the only one that changes.

        All ranks call it; no rank but those that the bytes go through waits.
        """

    @abstractmethod
    def barrier(self) -> None:
        """Return when every rank has called it."""

    @abstractmethod
    def close(self) -> None:
        """Leave the group and free what it holds; a second call does nothing."""

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()


class LocalCommunicator(Communicator):
    """The group of one: every collective is already done."""

    rank = 0
    world_size = 1

    def allreduce(self, array: Array, cuts: Sequence[int] = (), compress: str = "none") -> None:
        """The sum over one rank is the array."""

    def reduce_scatter(self, array: Array) -> Array:
        """The only chunk is the whole array."""
        return array.reshape(-1)

    def allgather(self, array: Array) -> None:
        """The only chunk is there already."""

    def allgather_bytes(self, content: bytes) -> list[bytes]:
        """The only content."""
        return [content]

    def broadcast(self, array: Array, root: int = 0) -> None:
        """The only rank is the root."""

    def add_to(self, array: Array, source: int, target: int) -> None:
        """Nothing is added to oneself."""

    def barrier(self) -> None:
        """Nobody to wait for."""

    def close(self) -> None:
        """Nothing is held."""
