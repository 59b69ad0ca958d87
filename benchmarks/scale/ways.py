"""The ways in which ranks come to one gradient, each as the program of one rank.

# P ranks, S bytes, latency alpha, beta seconds a byte; without anything else to do:
# ring          2 (P - 1) alpha + 2 S (P - 1) / P beta
# halving       2 log2 P alpha + 2 S (P - 1) / P beta      recursive halving, then doubling
# doubling      log2 P (alpha + S beta)                    recursive doubling
# tree          2 log2 P (alpha + S beta)                  binomial, to rank 0 and back
# mesh          2 alpha + 2 S (P - 1) / P beta             CaffeOnSpark: every host owns a shard;
#                                                          a tree within the host
# product       doubling for arrays of at most DOUBLING_BYTES, the ring for larger ones
# hierarchy     the ranks of a host, then one ring among hosts, then the ranks of a host
# sparknet      2 (alpha + P S beta) every tau iterations  all to a driver, and back

A program is a generator that sends and receives in a `Network`. Tags keep messages of different
rounds apart where one may overtake another. A host's numbering makes neighbours in the ring
neighbours on the host.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable
from typing import NamedTuple

from minicaffe.distributed.two_paths import DOUBLING_BYTES

from .events import Process
from .network import Cluster, Network

Program = Callable[[Network, int, float, Hashable], Process]


def ring(net: Network, rank: int, size: float, tag: Hashable) -> Process:
    """`distributed/ring.py`: chunks of S / P, sent on as soon as they have come."""
    yield from _ring(net, rank, range(net.ranks), size, tag)


def _ring(net: Network, rank: int, members: range, size: float, tag: Hashable) -> Process:
    """A ring of some ranks; a chunk travels in the network's segments."""
    count = len(members)
    right = members[(members.index(rank) + 1) % count]
    parts = net.segments(size / count)
    steps = 2 * (count - 1)
    if not steps:
        return
    for part in parts:
        yield from net.send(rank, right, part, tag)
    for step in range(1, steps + 1):
        for part in parts:
            yield from net.receive(rank, tag)
            if step < steps:
                yield from net.send(rank, right, part, tag)


def doubling(net: Network, rank: int, size: float, tag: Hashable) -> Process:
    """All bytes with the rank whose number differs in one bit, bit after bit."""
    yield from _folded(net, rank, size, tag, [size] * _bits(net.ranks))


def halving(net: Network, rank: int, size: float, tag: Hashable) -> Process:
    """Half of the bytes, a quarter, ...: each rank owns a part of the sum; then the way back."""
    rounds = [size / 2 ** (bit + 1) for bit in range(_bits(net.ranks))]
    yield from _folded(net, rank, size, tag, rounds + rounds[::-1])


def product(net: Network, rank: int, size: float, tag: Hashable) -> Process:
    """`distributed/two_paths.py`: small arrays by doubling, large ones round the ring."""
    way = doubling if size <= DOUBLING_BYTES else ring
    yield from way(net, rank, size, tag)


def _bits(ranks: int) -> int:
    return ranks.bit_length() - 1


def _folded(net: Network, rank: int, size: float, tag: Hashable, rounds: list[float]) -> Process:
    """Rounds among 2^k ranks; the ranks beyond hand theirs in first and get the sum at the end."""
    power, bits = 1 << _bits(net.ranks), _bits(net.ranks)
    if rank >= power:
        yield from net.send(rank, rank - power, size, (tag, "in"))
        yield from net.receive(rank, (tag, "out"))
        return
    beyond = rank + power < net.ranks
    if beyond:
        yield from net.receive(rank, (tag, "in"))
    for number, part in enumerate(rounds):
        bit = number if number < bits else 2 * bits - 1 - number
        yield from net.send(rank, rank ^ (1 << bit), part, (tag, number))
        yield from net.receive(rank, (tag, number))
    if beyond:
        yield from net.send(rank, rank + power, size, (tag, "out"))


def tree(net: Network, rank: int, size: float, tag: Hashable) -> Process:
    """A binomial tree: sums go up to rank 0, the total comes down."""
    yield from _up(net, rank, range(net.ranks), size, (tag, "up"))
    yield from _down(net, rank, range(net.ranks), size, (tag, "down"))


def _children(members: range, rank: int) -> list[int]:
    """The ranks below one in the binomial tree of some ranks, the nearest first."""
    place, bit, below = members.index(rank), 1, []
    while bit < len(members) and not place & bit:
        if place | bit < len(members):
            below.append(members[place | bit])
        bit <<= 1
    return below


def _up(net: Network, rank: int, members: range, size: float, tag: Hashable) -> Process:
    """What the ranks below have, then on to the one above."""
    for child in _children(members, rank):
        yield from net.receive(rank, (tag, child))
    place = members.index(rank)
    if place:
        yield from net.send(rank, members[place & (place - 1)], size, (tag, rank))


def _down(net: Network, rank: int, members: range, size: float, tag: Hashable) -> Process:
    """From the rank above, then to those below, the farthest first."""
    if rank != members[0]:
        yield from net.receive(rank, tag)
    for child in reversed(_children(members, rank)):
        yield from net.send(rank, child, size, tag)


def weights(net: Network, rank: int, size: float, tag: Hashable) -> Process:
    """CaffeOnSpark before forward: hosts pass on the weights that they own; then in the host."""
    yield from _shards(net, rank, size, (tag, "weights"))
    yield from _down(net, rank, _host(net, rank), size, (tag, "down"))


def gradients(net: Network, rank: int, size: float, tag: Hashable) -> Process:
    """CaffeOnSpark after backward: in the host to its first rank; then to the owners."""
    yield from _up(net, rank, _host(net, rank), size, (tag, "up"))
    yield from _shards(net, rank, size, (tag, "gradients"))


def _host(net: Network, rank: int) -> range:
    """The ranks of a rank's host."""
    per_host = net.cluster.per_host
    first = rank - rank % per_host
    return range(first, first + per_host)


def _shards(net: Network, rank: int, size: float, tag: Hashable) -> Process:
    """The first rank of a host sends a shard to every peer, beginning with the next one."""
    per_host = net.cluster.per_host
    hosts = net.ranks // per_host
    if rank % per_host:
        return
    for distance in range(1, hosts):
        target = (rank + distance * per_host) % net.ranks
        yield from net.send(rank, target, size / hosts, tag)
    for _ in range(1, hosts):
        yield from net.receive(rank, tag)


def hierarchy(net: Network, rank: int, size: float, tag: Hashable) -> Process:
    """Reduce-scatter within the host, a ring among hosts for each part, allgather in the host."""
    per_host, inside = net.cluster.per_host, _host(net, rank)
    yield from _half_ring(net, rank, inside, size, (tag, "in"))
    across = range(rank % per_host, net.ranks, per_host)
    yield from _ring(net, rank, across, size / per_host, (tag, "across"))
    yield from _half_ring(net, rank, inside, size, (tag, "out"))


def _half_ring(net: Network, rank: int, members: range, size: float, tag: Hashable) -> Process:
    """Reduce-scatter or allgather in a ring: P - 1 steps."""
    count = len(members)
    right = members[(members.index(rank) + 1) % count]
    for _ in range(count - 1):
        yield from net.send(rank, right, size / count, tag)
        yield from net.receive(rank, tag)


def star(net: Network, rank: int, size: float, tag: Hashable) -> Process:
    """SparkNet: all weights to the driver, one host more, and the mean back from it."""
    driver = net.ranks
    if rank == driver:
        for _ in range(net.ranks):
            yield from net.receive(driver, (tag, "up"))
        for other in range(net.ranks):
            yield from net.send(driver, other, size, (tag, "down"))
    else:
        yield from net.send(rank, driver, size, (tag, "up"))
        yield from net.receive(rank, (tag, "down"))


class Way(NamedTuple):
    """A way: its program; what goes before forward; how often; which ranks stand for all.

    `stands_for(cluster)` maps each rank to one that does the same at the same time, where all ranks
    do the same at the same time but for their place on a host; None where that is not so.
    """

    program: Program
    stands_for: Callable[[Cluster], Callable[[int], int] | None]
    before: Program | None = None
    overlaps: bool = True
    every: int = 1
    driver: bool = False


def by_place(cluster: Cluster) -> Callable[[int], int]:
    """Turned by whole hosts the cluster is itself: the first host stands for all."""
    return lambda rank: rank % cluster.per_host


def by_bits(cluster: Cluster) -> Callable[[int], int] | None:
    """With its bits flipped too, if numbers of ranks and of a host's ranks are powers of two."""
    whole = all(count & (count - 1) == 0 for count in (cluster.ranks, cluster.per_host))
    return by_place(cluster) if whole else None


WAYS = {
    "ring": Way(ring, by_place),
    "halving": Way(halving, by_bits),
    "doubling": Way(doubling, by_bits),
    "product": Way(product, by_bits),
    "tree": Way(tree, lambda cluster: None),
    "hierarchy": Way(hierarchy, by_place),
    "mesh": Way(gradients, by_place, before=weights, overlaps=False),
    "sparknet": Way(star, lambda cluster: None, overlaps=False, every=10, driver=True),
}
