"""auto://: which transports join the ranks, as every rank decides from what all of them have.

Each rank listens by every transport that it can use, and says so on a Card, the string that it
brings to the rendezvous. All ranks then hold the same cards, and come to the same Plan:

    all ranks on one host           one ring: shm, else unix, else tcp
    each on a host of its own       one ring: rdma if all have it, else tcp
    several on each of several      rings inside the hosts and between them (hierarchy.py)
"""

from __future__ import annotations

import contextlib
import json
import socket
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass, field

from minicaffe.errors import CommunicationError

from .hierarchy import carriers
from .transport import Listener, missing, open_transport

AUTO = "auto"
ANYWHERE = "tcp"
INSIDE = ("shm", "unix", ANYWHERE)  # between ranks of one host, the best first
BETWEEN = ("rdma", ANYWHERE)  # between hosts


@dataclass(frozen=True)
class Card:
    """What a rank has: its host, the addresses where it listens, and what it lacks, by scheme."""

    host: str  # the same for ranks that share memory, see same_host.py
    name: str  # of the machine, for people
    doors: dict[str, str] = field(default_factory=dict)
    lacks: dict[str, str] = field(default_factory=dict)

    def text(self) -> str:
        """The card in one line."""
        return json.dumps(asdict(self), separators=(",", ":"))

    @classmethod
    def read(cls, rank: int, text: str) -> Card:
        """The card of a rank. Raises CommunicationError."""
        try:
            return cls(**json.loads(text))
        except (TypeError, ValueError):
            raise CommunicationError(
                f"rank {rank} came with '{text}', not with what it has: all ranks need the same"
                " connection"
            ) from None


@dataclass(frozen=True)
class Plan:
    """How the ranks are joined. groups: the ranks of each host; hosts by their first rank.

    inside, between: the schemes inside hosts and between them; "" where nobody needs one.
    """

    groups: tuple[tuple[int, ...], ...]
    inside: str
    between: str
    words: str

    def scheme(self, rank: int, other: int) -> str:
        """What joins a pair of ranks: for small messages, which need no shared memory."""
        host = next(group for group in self.groups if rank in group)
        if other not in host:
            return self.between
        return "unix" if self.inside == "shm" else self.inside


@contextlib.contextmanager
def open_doors(url: str, host: str) -> Iterator[tuple[Card, dict[str, Listener]]]:
    """Listen by every transport that this machine can use; the rest of auto:// is theirs.

    All are closed in the end. Raises CommunicationError when not even tcp can.
    """
    doors: dict[str, Listener] = {}
    lacks: dict[str, str] = {}
    with contextlib.ExitStack() as at_end:
        for scheme in dict.fromkeys((*INSIDE, *BETWEEN)):
            lacks[scheme] = missing(scheme)
            if lacks[scheme]:
                continue
            try:
                doors[scheme] = open_transport(url.replace(AUTO, scheme, 1))
            except CommunicationError as error:
                if scheme == ANYWHERE:
                    raise
                lacks[scheme] = str(error)
                continue
            at_end.callback(doors[scheme].close)
        addresses = {scheme: door.address for scheme, door in doors.items()}
        lacks = {scheme: lack for scheme, lack in lacks.items() if lack}
        yield Card(host, socket.gethostname(), addresses, lacks), doors


def choose(cards: Sequence[Card]) -> Plan:
    """The same plan on every rank; its words say what was not taken, and why."""
    hosts: dict[str, list[int]] = {}
    for rank, card in enumerate(cards):
        hosts.setdefault(card.host, []).append(rank)
    groups = tuple(tuple(group) for group in hosts.values())
    together = [rank for group in groups if len(group) > 1 for rank in group]
    inside, not_inside = _best(INSIDE, cards, together)
    between, not_between = _best(BETWEEN, cards, range(len(cards)))
    if len(groups) == 1:
        words = f"{inside} (all {len(cards)} ranks are on one host{not_inside})"
        return Plan(groups, inside, "", words)
    if not together:
        words = f"{between} ({len(cards)} hosts, a rank on each{not_between})"
        return Plan(groups, "", between, words)
    ranks = " to ".join(map(str, sorted({min(map(len, groups)), max(map(len, groups))})))
    rings = carriers(groups)
    words = (
        f"{inside} inside {len(groups)} hosts of {ranks} ranks{not_inside}, {between} between them"
        f" in {rings} ring{'s' * (rings > 1)}{not_between}"
    )
    return Plan(groups, inside, between, words)


def _best(schemes: Sequence[str], cards: Sequence[Card], ranks: Sequence[int]) -> tuple[str, str]:
    """The first that all these ranks have, and why not a better one: "; not rdma: rank 2 ..."."""
    why = ""
    for scheme in schemes:
        without = [rank for rank in ranks if scheme not in cards[rank].doors]
        if not without:
            return scheme, why
        rank, *others = without
        lack = cards[rank].lacks.get(scheme, "it does not listen")
        more = f"; {len(others)} more" if others else ""
        why += f"; not {scheme}: rank {rank} on {cards[rank].name}: {lack}{more}"
    raise CommunicationError(f"no transport joins ranks {list(ranks)}{why}")
