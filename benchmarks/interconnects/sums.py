"""The first part: how long an allreduce takes, by place, ranks, size and contender.

A record, one for each of these:

    place           "loopback", or the speed of the links between test hosts, one rank each
    ranks, bytes    P, and S: the length of the array of float32
    contender       "tcp", "unix", "shm": minicaffe's ring; "gloo"; "mpi"
    ms              median over the turns of the wall time of a call on the slowest rank
    low, high       the quartiles
    cpu_ms          processor time of a call, all threads, medians of the ranks added up; the
                    kernel's work in interrupts is not in it
    wire            bytes that left by a rank's interface a call, the busiest one's, headers
                    included; 0 where nothing goes by it, None where it cannot be counted
    bound           2 S (P - 1) / P, the least that a rank must send
    share           8 bound / (time x the link's bits/s); None on the loopback
"""

from __future__ import annotations

import statistics
from collections.abc import Callable, Iterator, Sequence
from typing import Any

from minicaffe.distributed.auth import new_secret

from .contenders import GLOO, MPI, transports
from .crew import Failed
from .places import BITS, LOOPBACK, RATES, Manned, on_hosts, on_loopback

Record = dict[str, Any]
ITEM = 4  # bytes of a float32

TURN_BYTES = 200_000  # calls in a row move so much, so that a short call fills a turn
MOST_CALLS = 20
LEAST_TURNS, MOST_TURNS = 5, 30
COUNTED_CALLS = 50


def measure(
    places: Sequence[str],
    ranks: Sequence[int],
    sizes: Sequence[int],
    contenders: Sequence[str],
    budget: float,
    others: dict[str, str],
    say: Callable[[str], None],
) -> Iterator[Record]:
    """The records, while they come. `budget`: seconds that the turns of one size may take.

    `others` gets the versions of the contenders that are not ours.
    """
    for count in ranks:
        if LOOPBACK in places:
            names = [name for name in contenders if name in (*transports(True), GLOO, MPI)]
            with on_loopback(count, MPI in names) as manned:
                others |= form(manned, names)
                yield from _place(manned, LOOPBACK, count, sizes, budget, say)
        rates = [place for place in places if place != LOOPBACK]
        if rates:
            names = [name for name in contenders if name in (*transports(False), GLOO, MPI)]
            with on_hosts(count, count, MPI in names) as manned:
                others |= form(manned, names)
                for place in rates:
                    yield from _place(manned, place, count, sizes, budget, say)


def form(manned: Manned, names: list[str]) -> dict[str, str]:
    """Let the contenders form their groups; the versions of those that are not ours."""
    manned.crew.call("join", names, new_secret())
    found: dict[str, str] = manned.crew.call("versions")[0]
    return found


def _place(
    manned: Manned,
    place: str,
    ranks: int,
    sizes: Sequence[int],
    budget: float,
    say: Callable[[str], None],
) -> Iterator[Record]:
    """All sizes in one place."""
    if place != LOOPBACK and manned.lab is not None:
        manned.lab.limit(RATES[place])
    for size in sizes:
        say(f"{place}, {ranks} ranks, {size} bytes")
        yield from measure_size(manned, place, ranks, size // ITEM, budget)


def measure_size(
    manned: Manned, place: str, ranks: int, count: int, budget: float
) -> Iterator[Record]:
    """Check, time and count one length. Raises Failed when a sum is wrong."""
    crew = manned.crew
    wrong, once = crew.call("check", count)[0]
    if wrong:
        raise Failed(f"{place}, {ranks} ranks: {'; '.join(wrong)}")
    size = ITEM * count
    bound = 2 * size * (ranks - 1) / ranks
    calls = max(1, min(MOST_CALLS, TURN_BYTES // max(size, 1)))
    turns = int(max(LEAST_TURNS, min(MOST_TURNS, budget / (once * calls))))
    spent = crew.call("measure", count, turns, calls)
    counted_calls = max(1, min(COUNTED_CALLS, int(0.2 * budget / once)))
    sent = crew.call("traffic", count, counted_calls) if manned.counted else None
    for name in spent[0]:
        turn_by_turn = list(zip(*(of_rank[name] for of_rank in spent), strict=True))
        walls = [max(wall for wall, _ in turn) for turn in turn_by_turn]
        low, median, high = statistics.quantiles(walls, n=4)
        processor = sum(statistics.median(cpu for _, cpu in of_rank[name]) for of_rank in spent)
        wire = None
        if sent is not None:
            wire = max(of_rank[name] for of_rank in sent) / manned.ranks_an_interface
        yield {
            "place": place, "ranks": ranks, "bytes": size, "contender": name,
            "ms": 1e3 * median, "low": 1e3 * low, "high": 1e3 * high, "cpu_ms": 1e3 * processor,
            "wire": wire, "bound": bound, "turns": turns, "calls": calls,
            "share": None if place == LOOPBACK else 8 * bound / median / BITS[place],
        }  # fmt: skip


def ratio(records: Sequence[Record], record: Record, other: str) -> float | None:
    """How many times longer another contender took, all else equal."""
    same = ("place", "ranks", "bytes")
    for each in records:
        if each["contender"] == other and all(each[key] == record[key] for key in same):
            return float(each["ms"] / record["ms"])
    return None
