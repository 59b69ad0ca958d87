"""Rendezvous: how ranks that do not know each other yet exchange one address each.

All it takes is an allgather of one string. `connect` does the rest: listen, exchange the
addresses, prove oneself to both neighbours, and hand back the communicator.
"""

from __future__ import annotations

import re
import socket
import threading
from collections.abc import Sequence
from typing import Any, Protocol

from minicaffe.errors import CommunicationError, DeviceError, extra

from .auth import Member
from .choosing import AUTO, Card, choose, open_doors
from .communicator import Communicator, LocalCommunicator
from .frames import MAX_RANKS
from .joining import Joiner
from .same_host import host_id
from .transport import known_schemes, missing, open_transport
from .two_paths import DOUBLING_BYTES, TwoPaths

TIMEOUT = 60.0
HANDSHAKE_TIMEOUT = 5.0

LACK = "lacks "  # begins what a rank brings that cannot use the transport


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
    doubling_bytes: int = DOUBLING_BYTES,
    host: str = "",
) -> Communicator:
    """Join the others: every rank calls this once, with the same arguments but for rank, url, host.

    url: where this rank listens for its left neighbour, "tcp://10.0.0.7:0" (port 0: any free one);
        with "auto://10.0.0.7:0" by the best transports that the ranks have (see choosing.py).
    secret, run, generation: what both neighbours must share (see auth.py).
    timeout: seconds after which a silent neighbour is given up, here and in every collective.
    handshake_timeout: seconds that a stranger who connects may take to prove who he is.
    crc: check the payload of every frame by its CRC-32.
    mac: sign every frame, and take none that its neighbour has not signed (frames.py).
    doubling_bytes: the largest array that goes by recursive doubling (two_paths.py), over links of
        their own; 0 for none. They listen at the ports of `url` if it names several, else at any.
    host: what ranks that share memory have in common, without it `same_host.host_id()`.

    Raises CommunicationError when the links cannot be made in time, and DeviceError when a rank
    lacks what the transport needs.
    """
    if not 0 <= rank < world_size <= MAX_RANKS:
        raise CommunicationError(f"no rank {rank} in a ring of {world_size} (at most {MAX_RANKS})")
    if world_size == 1:
        return LocalCommunicator()
    if not secret:
        raise CommunicationError(f"rank {rank}: a ring needs a secret (see auth.new_secret)")
    me = Member(rank, world_size, generation, run, secret, signed=mac)
    joiner = Joiner(me, timeout, handshake_timeout, crc)
    if url.startswith(f"{AUTO}://"):
        return _connect_best(rendezvous, joiner, url, host or host_id(), doubling_bytes)
    return _connect_ring(rendezvous, joiner, url, doubling_bytes)


def _connect_ring(rendezvous: Rendezvous, joiner: Joiner, url: str, limit: int) -> Communicator:
    """One ring by the transport of the URL."""
    me = joiner.me
    scheme = url.partition("://")[0]
    if scheme in known_schemes() and (lack := missing(scheme)):
        _gather(rendezvous, me, f"{LACK}{scheme} on {socket.gethostname()}: {lack}")
        raise DeviceError(f"{scheme}: {lack}")  # where nobody has looked at what it brought
    listener = open_transport(url)
    try:
        addresses = _gather(rendezvous, me, listener.address)
        transport = joiner.link(listener, addresses[me.right], me)
    finally:
        listener.close()
    ring = joiner.round(transport, me)
    if not limit:
        return ring
    if me.world_size == 2:  # the ring is the only pair's link
        return TwoPaths(ring, joiner.doubling({me.right: transport}, limit))
    return joiner.two_paths(ring, limit, lambda _: _further(url, scheme))


def _connect_best(
    rendezvous: Rendezvous, joiner: Joiner, url: str, host: str, limit: int
) -> Communicator:
    """What the ranks agree on when each has said what it has."""
    me = joiner.me
    with open_doors(url, host) as (card, doors):
        texts = _gather(rendezvous, me, card.text())
        cards = [Card.read(rank, text) for rank, text in enumerate(texts)]
        plan = choose(cards)
        base: Communicator
        if plan.inside and plan.between:
            base = joiner.hierarchy(plan, cards, doors)
        else:
            scheme = plan.inside or plan.between
            base = joiner.ring(doors[scheme], [card.doors[scheme] for card in cards], me)
    if limit:
        base = joiner.two_paths(base, limit, lambda to: _further(url, plan.scheme(me.rank, to)))
    base.links = plan.words
    return base


def _gather(rendezvous: Rendezvous, me: Member, mine: str) -> list[str]:
    """What every rank brings. Raises CommunicationError, and DeviceError if a rank has no address.

    All ranks meet before any gives up: so every one of them has the reason.
    """
    brought = rendezvous.allgather(mine)
    if len(brought) != me.world_size:
        raise CommunicationError(
            f"rank {me.rank}: the rendezvous brought {len(brought)} addresses for "
            f"{me.world_size} ranks: {', '.join(brought)}"
        )
    for rank, text in enumerate(brought):
        if text.startswith(LACK):
            raise DeviceError(f"rank {rank} has no {text.removeprefix(LACK)}")
    return brought


def _further(url: str, scheme: str) -> str:
    """Where to listen for one more link: a single port of the URL is for the first."""
    return re.sub(r":\d+(\?|$)", r":0\1", re.sub("^[^:]*", scheme, url))
