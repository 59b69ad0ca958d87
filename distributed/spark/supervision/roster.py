"""The ranks as the driver knows them: where they are, what they do, when each was heard last."""

from __future__ import annotations

import time
from dataclasses import dataclass, field

from ..control import Message
from .checkup import difference

PAUSE = 2.0  # seconds after which the driver itself, not a rank, may have been stopped


@dataclass
class Rank:
    """What is known of one rank of a generation."""

    number: int
    host: str
    pid: int
    versions: dict[str, str] = field(default_factory=dict, repr=False)
    iteration: int | None = None
    doing: str = ""
    came: float = field(default_factory=time.monotonic)
    heard: float = field(default_factory=time.monotonic)  # when it said anything
    since: float = field(default_factory=time.monotonic)  # when it was first seen doing this
    gone: bool = False  # it has said goodbye

    def __str__(self) -> str:
        """Which rank it is, and what it was doing: for a line about what became of it."""
        where = f"rank {self.number} on {self.host} (process {self.pid})"
        if self.iteration is not None:
            where += f", iteration {self.iteration}"
        return f"{where}, {self.doing}" if self.doing else where


class Roster:
    """The ranks of one generation that have said something."""

    def __init__(self) -> None:
        self.ranks: dict[int, Rank] = {}
        self._looked = time.monotonic()

    def hear(self, message: Message) -> None:
        """Take in what a message tells of its rank."""
        number = message["rank"]
        if message["kind"] == "hello":
            versions = message.get("versions", {})
            self.ranks[number] = Rank(number, message["host"], message["pid"], versions)
        rank = self.ranks.get(number)
        if rank is None or message["kind"] == "lost":
            return
        rank.heard = time.monotonic()
        rank.gone = message["kind"] == "bye"
        if message["kind"] == "beat":
            state = message["iteration"], message["doing"]
            if state != (rank.iteration, rank.doing):
                rank.since = rank.heard
                rank.iteration, rank.doing = state
        elif "iteration" in message:
            rank.iteration = message["iteration"]

    def name(self, number: int) -> str:
        """A rank in words, however much is known of it."""
        return str(self.ranks.get(number, f"rank {number}"))

    def difference(self) -> str:
        """What differs between the ranks' versions, in a sentence; "" where nothing does."""
        return difference({str(rank): rank.versions for rank in self.ranks.values()})

    def silent(self, timeout: float) -> Rank | None:
        """The rank that has said nothing for the longest time above `timeout` seconds, if any.

        To be asked often: where the driver itself did not run for a while, the ranks' messages
        still wait to be read, and their silence counts from now.
        """
        now = time.monotonic()
        if now - self._looked > PAUSE:
            for rank in self.ranks.values():
                rank.heard = now
        self._looked = now
        here = [rank for rank in self.ranks.values() if not rank.gone]
        longest = min(here, key=lambda rank: rank.heard, default=None)
        return longest if longest and now - longest.heard > timeout else None

    def suspect(self, complained: set[int]) -> Rank | None:
        """Who holds the others up: of those that have not complained the one longest at one thing.

        None where all have complained, or where nothing is known.
        """
        quiet = [rank for rank in self.ranks.values() if rank.number not in complained]
        return min(quiet, key=lambda rank: rank.since, default=None)
