"""Speed-up: how many times the images a second of one rank.

# weak scaling: a rank keeps its batch, P ranks have P batches:  P t(1) / t(P)
# strong scaling: the ranks share one batch:                     t(1) / t(P)
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import NamedTuple

from .links import HOST
from .model import Stragglers, simulate
from .network import Cluster, Link
from .tables import Table

RANKS = (1, 2, 4, 8, 16, 32, 64, 128, 256, 512, 1024, 2048, 4096, 8192, 10000)


class Plan(NamedTuple):
    """What is asked for: everything but the number of ranks.

    total: the batch that all ranks share (strong scaling); None for weak scaling. bucket: least
    bytes, None for the product's. Without `overlap` everything goes at the end.
    """

    table: Table
    way: str
    link: Link
    per_host: int = 1
    total: float | None = None
    bucket: int | None = None
    overlap: bool = True
    tau: int | None = None
    stragglers: Stragglers = Stragglers()
    iterations: int = 1


def seconds(plan: Plan, ranks: int) -> float:
    """An iteration on so many ranks."""
    share = None if plan.total is None else plan.total / ranks
    least = () if plan.bucket is None else (plan.bucket,)
    work = plan.table.work(share, *least)
    per_host = min(plan.per_host, ranks)
    ranks = -(-ranks // per_host) * per_host
    cluster = Cluster(ranks, plan.link, per_host, HOST)
    return simulate(work, cluster, plan.way, overlap=plan.overlap, tau=plan.tau,
                    stragglers=plan.stragglers, iterations=plan.iterations).seconds  # fmt: skip


def speed_up(plan: Plan, ranks: int) -> float | None:
    """On so many ranks; None where a rank would have less than one image."""
    if plan.total is not None and plan.total < ranks:
        return None
    times = ranks if plan.total is None else 1
    return times * seconds(plan, 1) / seconds(plan, ranks)


def least_ranks(plan: Plan, wanted: float, ranks: Iterable[int] = RANKS) -> int | None:
    """The fewest ranks that reach a speed-up; None if none of these numbers does.

    Whole hosts only; between two of the numbers by bisection.
    """
    below = 0
    for count in ranks:
        reached = speed_up(plan, count)
        if reached is not None and reached >= wanted:
            break
        below = count
    else:
        return None
    step = min(plan.per_host, count)
    while count - below > step:
        middle = -(-((below + count) // 2) // step) * step
        if middle in (below, count):
            break
        if (speed_up(plan, middle) or 0) >= wanted:
            count = middle
        else:
            below = middle
    return count
