"""Rendezvous: how ranks that do not know each other yet exchange one address each.

All it takes is an allgather of one string. `connect` does the rest: listen, exchange the
addresses, prove oneself to both neighbours, and hand back the ring.
"""

from __future__ import annotations

import threading
from collections.abc import Sequence
from typing import Any, Protocol

from minicaffe.errors import CommunicationError, extra

from .auth import Member
from .communicator import Communicator, LocalCommunicator
from .frames import MAX_RANKS
from .ring import RingCommunicator
from .transport import open_transport

TIMEOUT = 60.0
HANDSHAKE_TIMEOUT = 5.0


class Rendezvous(Protocol):
    """Where the ranks of one generation meet, once."""

    def allgather(self, address: str) -> list[str]:
        """Give one's own address, get the addresses of all ranks, by rank."""
        ...


class FixedRendezvous:
    """Addresses that were agreed on beforehand; each rank listens at its own."""

    def __init__(self, addresses: Sequence[str]) -> None:
        self._addresses = list(addresses)

    def allgather(self, address: str) -> list[str]:
        """The list. Raises CommunicationError if `address` is not in it."""
        if address not in self._addresses:
            known = ", ".join(self._addresses)
            raise CommunicationError(f"this rank listens at {address}, not at one of {known}")
        return list(self._addresses)


class ThreadRendezvous:
    """The ranks are threads of this process: each takes one of `ThreadRendezvous.of(n)`."""

    def __init__(self, rank: int, board: list[str], barrier: threading.Barrier) -> None:
        self._rank = rank
        self._board = board
        self._barrier = barrier

    @classmethod
    def of(cls, world_size: int, timeout: float = TIMEOUT) -> list[ThreadRendezvous]:
        """One rendezvous a rank; they meet within `timeout` seconds."""
        board = [""] * world_size
        barrier = threading.Barrier(world_size, timeout=timeout)
        return [cls(rank, board, barrier) for rank in range(world_size)]

    def allgather(self, address: str) -> list[str]:
        """All addresses, when every thread has come. Raises CommunicationError if one does not."""
        self._board[self._rank] = address
        try:
            self._barrier.wait()
        except threading.BrokenBarrierError:
            missing = [rank for rank, entry in enumerate(self._board) if not entry]
            raise CommunicationError(
                f"rank {self._rank}: ranks {missing} did not come to the rendezvous"
            ) from None
        return list(self._board)


class SparkRendezvous:
    """The ranks are the tasks of a Spark barrier stage, by partition id; the meeting takes 1 s."""

    def __init__(self, context: Any = None) -> None:
        """`context` is a BarrierTaskContext; without one, that of the running task."""
        if context is None:
            pyspark = extra("pyspark", "spark", "a rendezvous in Spark")
            context = pyspark.BarrierTaskContext.get()
        self._context = context

    def allgather(self, address: str) -> list[str]:
        """All addresses, when every task of the stage has come."""
        return list(self._context.allGather(address))


def connect(
    rendezvous: Rendezvous,
    rank: int,
    world_size: int,
    url: str = "tcp://127.0.0.1:0",
    *,
    secret: bytes,
    run: str = "",
    generation: int = 0,
    timeout: float = TIMEOUT,
    handshake_timeout: float = HANDSHAKE_TIMEOUT,
    crc: bool = False,
    mac: bool = False,
) -> Communicator:
    """Join the ring: every rank calls this once, with the same arguments but for rank and url.

    url: where this rank listens for its left neighbour, "tcp://10.0.0.7:0" (port 0: any free one).
    secret, run, generation: what both neighbours must share (see auth.py).
    timeout: seconds after which a silent neighbour is given up, here and in every collective.
    handshake_timeout: seconds that a stranger who connects may take to prove who he is.
    crc: check the payload of every frame by its CRC-32.
    mac: sign every frame, and take none that its neighbour has not signed (frames.py).

    Raises CommunicationError when the ring cannot be closed in time.
    """
    if not 0 <= rank < world_size <= MAX_RANKS:
        raise CommunicationError(f"no rank {rank} in a ring of {world_size} (at most {MAX_RANKS})")
    if world_size == 1:
        return LocalCommunicator()
    if not secret:
        raise CommunicationError(f"rank {rank}: a ring needs a secret (see auth.new_secret)")
    me = Member(rank, world_size, generation, run, secret, signed=mac)
    listener = open_transport(url)
    try:
        addresses = rendezvous.allgather(listener.address)
        if len(addresses) != world_size:
            raise CommunicationError(
                f"rank {rank}: the rendezvous brought {len(addresses)} addresses for "
                f"{world_size} ranks: {', '.join(addresses)}"
            )
        transport = listener.join(addresses[me.right], me, timeout, handshake_timeout)
    finally:
        listener.close()
    return RingCommunicator(transport, rank, world_size, crc=crc)
