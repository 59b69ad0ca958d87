"""A training iteration on many ranks, simulated.

    rank     before | forward | backward: layer 9 | layer 8 | ...      | wait | update
    sender                              | bucket of layers 8 and 9 | next bucket |

A rank computes; a bucket of gradients is due when backward has left its layers. A second process a
rank reduces the buckets, one after the other, in the order in which they come due: while backward
goes on (`overlap`), or all of them in one walk after it.

By symmetry ranks that do the same at the same time need not all be simulated: one host stands for
all, and what it sends to the next host comes back to it as if from the host before. That is exact,
and it is what makes 10,000 ranks possible. With stragglers the slowest rank then stands for all:
exact for one iteration of the ring, since nothing on the way from any rank to any other is longer
than its 2 (P - 1) steps; a little above in many iterations, which do not begin together; and a
little below where messages of early and late ranks meet in one plug.
"""

from __future__ import annotations

import math
import random
from typing import NamedTuple

from .events import Process, Signal, Simulation
from .network import Cluster, Network
from .ways import WAYS, Way

WHOLE = 16  # with stragglers up to so many ranks are simulated one by one


class Work(NamedTuple):
    """What a rank does in an iteration.

    Seconds of forward and update; backward as stretches, each with the bytes that are due after it.
    """

    forward: float
    backward: list[tuple[float, float]]
    update: float

    @property
    def passes(self) -> float:
        """Seconds of forward and backward."""
        return self.forward + sum(seconds for seconds, _ in self.backward)

    @property
    def compute(self) -> float:
        """Seconds without any communication."""
        return self.passes + self.update

    @property
    def size(self) -> float:
        """Bytes of all gradients."""
        return sum(size for _, size in self.backward)

    def scaled(self, factor: float) -> Work:
        """With so much of a batch: forward and backward in proportion, the update as it is."""
        backward = [(seconds * factor, size) for seconds, size in self.backward]
        return Work(self.forward * factor, backward, self.update)


class Course(NamedTuple):
    """What a simulation gave, an iteration: seconds; messages and bytes that a rank sent."""

    seconds: float
    messages: float
    sent: float


class Stragglers(NamedTuple):
    """Computing takes exp(spread z) times as long, z normal, anew in each rank and iteration."""

    spread: float = 0.0
    seed: int = 1

    def factors(self, ranks: int, iterations: int) -> list[list[float]]:
        """A row a rank; the z of a rank and iteration do not depend on spread."""
        chance = random.Random(self.seed)
        rows = [[chance.gauss(0.0, 1.0) for _ in range(ranks)] for _ in range(iterations)]
        return [[math.exp(self.spread * row[rank]) for row in rows] for rank in range(ranks)]


def simulate(
    work: Work,
    cluster: Cluster,
    way: str,
    *,
    overlap: bool = True,
    iterations: int = 1,
    segment: float | None = None,
    stragglers: Stragglers = Stragglers(),  # noqa: B008
    stand_ins: bool | None = None,
    tau: int | None = None,
) -> Course:
    """The seconds of an iteration. Raises ValueError for what is not known or cannot stand in.

    stand_ins: whether one host stands for all; None: where that is exact, and with stragglers
    beyond WHOLE ranks.
    tau: how many iterations a rank makes by itself, for ways that average now and then.
    """
    if way not in WAYS:
        raise ValueError(f"no way '{way}' (there are: {', '.join(WAYS)})")
    if cluster.ranks % cluster.per_host:
        raise ValueError(f"{cluster.ranks} ranks are not {cluster.per_host} on every host")
    chosen = WAYS[way]
    every = (tau or chosen.every) if chosen.every > 1 else 1
    stands_for = chosen.stands_for(cluster)
    if stand_ins is None:
        few = bool(stragglers.spread) and cluster.ranks <= WHOLE
        stand_ins = stands_for is not None and not few and cluster.hosts_together == 1
    if stand_ins and stands_for is None:
        raise ValueError(f"{way}: no rank stands for all; it must be simulated whole")
    simulated = list(range(cluster.ranks))
    if stand_ins and stands_for:
        simulated = sorted({stands_for(rank) for rank in simulated})
    simulation = Simulation()
    net = Network(simulation, cluster, stands_for if stand_ins else None, segment)
    factors = stragglers.factors(cluster.ranks, iterations * every)
    if stand_ins:
        slowest = [max(column) for column in zip(*factors, strict=True)]
        factors = [slowest] * cluster.ranks
    for rank in simulated:
        run = _Rank(net, rank, work, chosen, overlap, every)
        simulation.start(run.train(iterations, factors[rank]))
    if chosen.driver and cluster.ranks > 1:
        simulation.start(_drive(net, chosen, work.size, iterations))
    seconds = simulation.run() / (iterations * every)
    share = iterations * every * len(simulated)
    return Course(seconds, net.messages / share, net.sent / share)


def _drive(net: Network, way: Way, size: float, iterations: int) -> Process:
    for number in range(iterations):
        yield from way.program(net, net.ranks, size, number)


class _Rank(NamedTuple):
    """One rank of a simulation."""

    net: Network
    rank: int
    work: Work
    way: Way
    overlap: bool
    every: int

    def train(self, iterations: int, factors: list[float]) -> Process:
        """The iterations, one after the other."""
        alone, way = self.net.ranks == 1, self.way
        for number in range(iterations):
            if way.before and not alone:
                yield from way.before(self.net, self.rank, self.work.size, (number, "before"))
            for step in range(self.every):
                factor = factors[number * self.every + step]
                last = step == self.every - 1 and not alone
                if last and self.overlap and way.overlaps:
                    yield from self._compute(self.work.forward * factor)
                    yield from self._overlapped(number, factor)
                else:
                    update = self.work.update if way.every > 1 else 0.0
                    yield from self._compute(self.work.passes * factor + update)
                    if last:
                        yield from way.program(self.net, self.rank, self.work.size, number)
                if way.every == 1:
                    yield from self._compute(self.work.update)

    def _compute(self, seconds: float) -> Process:
        yield from self.net.compute(self.rank, seconds)

    def _overlapped(self, number: int, factor: float) -> Process:
        """Backward, with the sender beside it; ends when both have."""
        simulation = self.net.simulation
        due = [Signal() for _ in self.work.backward]
        sender = simulation.start(self._send(number, due))
        for (seconds, _), signal in zip(self.work.backward, due, strict=True):
            yield from self._compute(seconds * factor)
            signal.fire()
        yield sender

    def _send(self, number: int, due: list[Signal]) -> Process:
        for index, ((_, size), signal) in enumerate(zip(self.work.backward, due, strict=True)):
            yield signal
            if size:
                yield from self.way.program(self.net, self.rank, size, (number, index))
