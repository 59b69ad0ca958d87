"""What a message passes: the sender's core, its host's plug, the wire, the other plug, a core.

# n bytes, latency alpha, bandwidth 1 / beta:  alone on its way a message takes
# send(n) + alpha + n beta + receive(n), send and receive being processor time (0 with RDMA)

A plug passes one message after the other, in each direction by itself: ranks of a host share it,
and so do messages that many hosts send to one. A core is shared equally by those who want it.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Hashable
from typing import NamedTuple

from .events import Mailbox, Process, Signal, Simulation


class Link(NamedTuple):
    """A kind of link. Seconds, bytes a second, processor seconds; where the figures come from."""

    name: str
    latency: float
    bandwidth: float
    source: str = ""
    per_byte: float = 0.0  # processor time, at each end


class Cluster(NamedTuple):
    """Ranks on hosts, numbered host by host.

    `link` joins hosts, `local` ranks of a host. Without `cores` processor time delays only whom it
    is needed by; with them the ranks of `hosts_together` hosts (test hosts lie on one machine)
    share so many, for kernels too.
    """

    ranks: int
    link: Link
    per_host: int = 1
    local: Link | None = None
    cores: int | None = None
    hosts_together: int = 1


class Cores:
    """Processor cores that are shared equally: n jobs on c cores run at min(1, c / n)."""

    def __init__(self, simulation: Simulation, count: int) -> None:
        self._simulation, self._count = simulation, count
        self._jobs: list[list[float | Signal]] = []  # [seconds left, signal of its end]
        self._since = 0.0
        self._plan = 0

    def work(self, seconds: float) -> Signal:
        """The signal that this much processor time has been given."""
        end = Signal()
        self._settle()
        self._jobs.append([seconds, end])
        self._schedule()
        return end

    @property
    def _rate(self) -> float:
        return min(1.0, self._count / len(self._jobs)) if self._jobs else 1.0

    def _settle(self) -> None:
        """Take off what has been done since the last change."""
        done = (self._simulation.now - self._since) * self._rate
        self._since = self._simulation.now
        for job in self._jobs:
            job[0] -= done

    def _schedule(self) -> None:
        self._plan += 1
        if self._jobs:
            plan, least = self._plan, min(job[0] for job in self._jobs)
            moment = self._simulation.now + max(least, 0.0) / self._rate
            self._simulation.at(moment, lambda: self._finish(plan))

    def _finish(self, plan: int) -> None:
        if plan != self._plan:
            return  # somebody came in between
        self._settle()
        least = min(job[0] for job in self._jobs) + 1e-12
        ended = [job for job in self._jobs if job[0] <= least]
        self._jobs = [job for job in self._jobs if job[0] > least]
        for job in ended:
            job[1].fire()
        self._schedule()


class Plug:
    """One direction of a network card: one message after the other."""

    def __init__(self) -> None:
        self._free = 0.0

    def occupy(self, now: float, seconds: float) -> float:
        """When a message that comes now begins to pass, and the plug is taken for its seconds."""
        begin = max(now, self._free)
        self._free = begin + seconds
        return begin


class Network:
    """The cluster in a simulation: sends, receives, computes.

    `stands_for` maps a rank to the one that is simulated for it; a message to a rank goes to
    that one. By default every rank is simulated. `segment` is the most bytes that a ring sends at
    once; by default a chunk is not cut.
    """

    def __init__(
        self,
        simulation: Simulation,
        cluster: Cluster,
        stands_for: Callable[[int], int] | None = None,
        segment: float | None = None,
    ) -> None:
        self.simulation, self.cluster, self.ranks = simulation, cluster, cluster.ranks
        self._stands_for = stands_for or (lambda rank: rank)
        self._segment = segment
        self._plugs: dict[tuple[str, int], Plug] = defaultdict(Plug)
        self._mail: dict[Hashable, Mailbox] = defaultdict(Mailbox)
        self._cores: dict[int, Cores] = {}
        self.messages = 0
        self.sent = 0.0  # bytes

    def host(self, rank: int) -> int:
        """The host of a rank."""
        return rank // self.cluster.per_host

    def segments(self, size: float) -> list[float]:
        """A chunk as the segments in which it travels."""
        if self._segment is None or size <= self._segment:
            return [size]
        whole, rest = divmod(size, self._segment)
        return [self._segment] * int(whole) + ([rest] if rest else [])

    def send(self, source: int, target: int, size: float, tag: Hashable) -> Process:
        """Spend the sender's processor time, then let the message go; the wire does the rest."""
        link = self._link(source, target)
        yield from self.compute(source, size * link.per_byte)
        self._travel(link, source, target, size, tag)

    def receive(self, rank: int, tag: Hashable) -> Process:
        """Wait for a message with this tag, spend the receiver's processor time on it."""
        message = self._mail[rank, tag].take()
        yield message
        yield from self.compute(rank, message.value)

    def compute(self, rank: int, seconds: float) -> Process:
        """Spend processor time of a rank: on cores that are shared, where there are."""
        if seconds <= 0:
            return
        if self.cluster.cores is None:
            yield seconds
        else:
            yield self._cores_of(rank).work(seconds)

    def _link(self, source: int, target: int) -> Link:
        local = self.host(source) == self.host(target) and self.cluster.local
        return local or self.cluster.link

    def _travel(self, link: Link, source: int, target: int, size: float, tag: Hashable) -> None:
        """Through both plugs; the far one is taken when the first byte is there."""
        simulation, seconds = self.simulation, size / link.bandwidth
        processor = size * link.per_byte
        within = link is self.cluster.local
        end = self._stands_for(target)
        self.messages += 1
        self.sent += size
        out = ("to local", source) if within else ("to", self.host(source))
        into = ("from local", end) if within else ("from", self.host(end))
        first = self._plugs[out].occupy(simulation.now, seconds) + link.latency

        def arrive() -> None:
            last = self._plugs[into].occupy(simulation.now, seconds) + seconds
            simulation.at(last, lambda: self._mail[end, tag].put(processor))

        simulation.at(first, arrive)

    def _cores_of(self, rank: int) -> Cores:
        machine = self.host(rank) // self.cluster.hosts_together
        if machine not in self._cores:
            assert self.cluster.cores is not None
            self._cores[machine] = Cores(self.simulation, self.cluster.cores)
        return self._cores[machine]
