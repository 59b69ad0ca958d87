"""Joining: the links of a rank, one after the other, from the addresses of all ranks.

Every link is a place in some ring: the ring of all ranks, that of a host's ranks, those between the
hosts, and for recursive doubling a ring of two for each pair. Each has a name, which is part of the
proof by which neighbours know each other (auth.py).
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from .auth import Member
from .choosing import Card, Plan
from .communicator import Communicator
from .hierarchy import HierarchicalCommunicator, carriers
from .recursive_doubling import RecursiveDoubling, partners
from .ring import RingCommunicator
from .transport import Listener, Transport, open_transport
from .two_paths import TwoPaths


@dataclass(frozen=True)
class Joiner:
    """A rank that joins rings; the numbers are those of `connect`."""

    me: Member
    timeout: float
    handshake_timeout: float
    crc: bool

    def link(self, listener: Listener, right: str, me: Member) -> Transport:
        """A place in the ring of `me.circle`: connect to the right neighbour, and be met."""
        return listener.join(right, me, self.timeout, self.handshake_timeout)

    def ring(self, listener: Listener, addresses: Sequence[str], me: Member) -> RingCommunicator:
        """The collectives of the ring of `me.circle`; addresses by rank."""
        return self.round(self.link(listener, addresses[me.right], me), me)

    def round(self, transport: Transport, me: Member) -> RingCommunicator:
        """The collectives over a place in the ring of `me.circle`."""
        circle = me.circle or range(me.world_size)
        return RingCommunicator(transport, circle.index(me.rank), len(circle), crc=self.crc)

    def hierarchy(
        self, plan: Plan, cards: Sequence[Card], doors: Mapping[str, Listener]
    ) -> HierarchicalCommunicator:
        """The ring inside this rank's host, then the one between the hosts that it carries."""
        group = next(group for group in plan.groups if self.me.rank in group)
        place = group.index(self.me.rank)
        inside = between = None
        with contextlib.ExitStack() as on_error:
            if len(group) > 1:
                me = self.me.in_ring(f"inside {group[0]}", group)
                addresses = [card.doors.get(plan.inside, "") for card in cards]
                inside = self.ring(doors[plan.inside], addresses, me)
                on_error.callback(inside.close)
            if place < carriers(plan.groups):
                column = [group[place] for group in plan.groups]
                me = self.me.in_ring(f"between {place}", column)
                addresses = [card.doors.get(plan.between, "") for card in cards]
                between = self.ring(doors[plan.between], addresses, me)
            on_error.pop_all()
        return HierarchicalCommunicator(self.me.rank, plan.groups, inside, between)

    def two_paths(
        self, base: Communicator, limit: int, url_to: Callable[[int], str]
    ) -> Communicator:
        """`base`, and for arrays of at most `limit` bytes the links of recursive doubling.

        Their addresses go through `base`, whose ranks know each other. `url_to(rank)`: where to
        listen for a partner. Closes `base` when that fails.
        """
        rank, world_size = self.me.rank, self.me.world_size
        links: dict[int, Transport] = {}
        with contextlib.ExitStack() as on_error, contextlib.ExitStack() as at_end:
            on_error.callback(base.close)
            doors = {each: open_transport(url_to(each)) for each in partners(rank, world_size)}
            for door in doors.values():
                at_end.callback(door.close)
            mine = "\n".join(door.address for door in doors.values())
            everybody = [each.decode().split("\n") for each in base.allgather_bytes(mine.encode())]
            for partner, door in doors.items():
                pair = sorted((rank, partner))
                me = self.me.in_ring(f"pair {pair[0]} {pair[1]}", pair)
                address = everybody[partner][partners(partner, world_size).index(rank)]
                links[partner] = self.link(door, address, me)
                on_error.callback(links[partner].close)
            on_error.pop_all()
        return TwoPaths(base, self.doubling(links, limit))

    def doubling(self, links: Mapping[int, Transport], limit: int) -> RecursiveDoubling:
        """Recursive doubling over these links."""
        return RecursiveDoubling(links, self.me.rank, self.me.world_size, limit, crc=self.crc)
