"""The second part: what an iteration of training takes on each link, and how much of it is waiting.

Ranks are processes with one thread each on test hosts. Inputs are made up in memory. Ways:

    alone           no communication at all: what computing takes with all ranks at work
    after           all gradients at the end, in one walk round the ring
    during          buckets go while backward goes on
    during, bf16    the same in two bytes a gradient
    during, by hosts    with several ranks a host: they reduce among themselves, in shared memory,
                    and one ring joins the hosts

A run (`runs` in the JSON file):

    net, batch      its name, images a rank
    hosts, ranks    test hosts; ranks in all, neighbours on the same host
    place           the speed of the links
    way             of those above
    sync            what `create_sync` was given
    transport       of the ring
    iterations      how many were measured, after one that was not
    ms              an iteration on the slowest rank, median over the iterations
    waited_ms       of it the solver stood still for others: gradients, and the ranks' agreement
                    on requests; mean of the ranks, median over the iterations
    collectives_ms  for so long a collective was at work, in whichever thread, as above
    sent            bytes an iteration that a rank gave to its neighbour, headers not included
    all_ms          `ms` of every iteration

What computing takes (`nets`), with all ranks at work at once and no communication:

    net, batch, hosts, ranks
    bytes           of all gradients
    bucket_bytes    the least size of a bucket
    forward_ms, update_ms, alone_ms      means of the ranks' medians
    layers          in the net's order: name, type, backward_ms (until the gradients are complete;
                    neighbours that run as one have it all at the last), parameters (elements)
"""

from __future__ import annotations

import statistics
from collections.abc import Callable, Iterator, Sequence
from typing import Any, NamedTuple

from minicaffe.distributed.auth import new_secret

from .places import LOOPBACK, RATES, Manned, on_hosts

ALONE, AFTER, DURING = "alone", "after", "during"
HALVED, BY_HOSTS = "during, bf16", "during, by hosts"
RING, HIERARCHY = "tcp", "auto"


class Task(NamedTuple):
    """A net to train: images a rank, least bucket, iterations on a fast and on a slow link."""

    net: str
    batch: int
    bucket: int
    iterations: int
    on_slow_links: int


TASKS = (
    Task("LeNet", 64, 1 << 20, 20, 8),
    Task("CIFAR-10 quick", 100, 1 << 17, 7, 5),
    Task("CaffeNet", 4, 1 << 20, 2, 1),
)


def ways_of(task: Task, hierarchy: bool) -> dict[str, tuple[str, str]]:
    """The transport and what `create_sync` takes, by the name of the way."""
    during = f"allreduce:bucket={task.bucket}"
    ways = {
        ALONE: (RING, ""),
        AFTER: (RING, "allreduce:bucket=one"),
        DURING: (RING, during),
        HALVED: (RING, f"{during},compress=bf16"),
    }
    if hierarchy:
        ways[BY_HOSTS] = (HIERARCHY, during)
    return ways


def measure(
    nets: Sequence[str],
    shapes: Sequence[tuple[int, int]],
    places: Sequence[str],
    say: Callable[[str], None],
) -> Iterator[tuple[str, dict[str, Any]]]:
    """("nets", what computing takes) and ("runs", a run), while they come.

    `shapes`: numbers of hosts and of ranks.
    """
    rates = [place for place in places if place != LOOPBACK]
    for hosts, ranks in shapes if rates else ():
        with on_hosts(hosts, ranks, mpi=False) as manned:
            manned.crew.call("join", [RING, HIERARCHY][: 1 + (ranks > hosts)], new_secret())
            for task in (task for task in TASKS if task.net in nets):
                yield from _train(manned, hosts, ranks, task, rates, say)


def _train(
    manned: Manned,
    hosts: int,
    ranks: int,
    task: Task,
    rates: Sequence[str],
    say: Callable[[str], None],
) -> Iterator[tuple[str, dict[str, Any]]]:
    """One net on these hosts, at all speeds."""
    crew, ways = manned.crew, ways_of(task, ranks > hosts)
    facts = {"net": task.net, "batch": task.batch, "hosts": hosts, "ranks": ranks}
    say(f"{task.net}, {hosts} hosts, {ranks} ranks")
    assert manned.lab is not None
    manned.lab.limit("")
    crew.call("prepare", task.net, task.batch, ways)
    crew.call("train", ALONE, 2)  # kernels are loaded, memory is touched
    parts = crew.call("layers", task.iterations)
    alone = _run(crew.call("train", ALONE, task.iterations + 1))
    yield "nets", {**facts, **_mean(parts), "bucket_bytes": task.bucket, "alone_ms": alone["ms"]}
    for place in rates:
        manned.lab.limit(RATES[place])
        slow = place == next(iter(RATES))
        iterations = task.on_slow_links if slow else task.iterations
        for way, (transport, sync) in ways.items():
            if way == ALONE:
                run, sent = alone, 0.0
            else:
                say(f"{task.net}, {hosts} hosts, {ranks} ranks, {place}, {way}")
                before = crew.call("bytes_sent")
                run = _run(crew.call("train", way, iterations + 1))
                after = crew.call("bytes_sent")
                sent = max(b - a for a, b in zip(before, after, strict=True)) / (iterations + 1)
            yield "runs", {
                **facts, "place": place, "way": way, "sync": sync, "transport": transport,
                **run, "sent": sent,
            }  # fmt: skip


def _run(of_ranks: Sequence[dict[str, list[float]]]) -> dict[str, Any]:
    """The figures of a run; its first iteration is not among them."""
    by_iteration = {
        key: list(zip(*(rank[key][1:] for rank in of_ranks), strict=True)) for key in of_ranks[0]
    }
    slowest = [max(values) for values in by_iteration["ms"]]
    means = {
        key: statistics.median(statistics.mean(values) for values in by_iteration[key])
        for key in ("waited_ms", "collectives_ms")
    }
    return {
        "iterations": len(slowest), "ms": statistics.median(slowest), **means, "all_ms": slowest,
    }  # fmt: skip


def _mean(parts: Sequence[dict[str, Any]]) -> dict[str, Any]:
    """What computing takes, the mean of the ranks."""
    layers = []
    for of_ranks in zip(*(part["layers"] for part in parts), strict=True):
        spent = statistics.mean(layer["backward_ms"] for layer in of_ranks)
        layers.append({**of_ranks[0], "backward_ms": spent})
    return {
        "bytes": 4 * sum(layer["parameters"] for layer in layers),
        "forward_ms": statistics.mean(part["forward_ms"] for part in parts),
        "update_ms": statistics.mean(part["update_ms"] for part in parts),
        "layers": layers,
    }
