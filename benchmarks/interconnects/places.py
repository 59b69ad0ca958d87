"""Where ranks are: on one host's loopback, or on test hosts whose links have a speed."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import NamedTuple

from .crew import Crew, here, seats
from .netlab import Netlab, missing

LOOPBACK = "loopback"
RATES = {"100 Mbit/s": "100mbit", "1 Gbit/s": "1gbit", "10 Gbit/s": "10gbit"}
BITS = {"100 Mbit/s": 1e8, "1 Gbit/s": 1e9, "10 Gbit/s": 1e10}
PLACES = (LOOPBACK, *RATES)


class Manned(NamedTuple):
    """A crew in its place; `lab` is None where the machine's own loopback has to do."""

    crew: Crew
    lab: Netlab | None
    ranks_an_interface: int
    counted: bool  # whether what the interface sends is the benchmark's alone


def possible(places: list[str]) -> tuple[list[str], list[str]]:
    """The places that can be had here, and words about those that cannot."""
    reason = missing()
    if not reason:
        return places, []
    gone = [place for place in places if place != LOOPBACK]
    words = [f"{place} is left out: {reason}" for place in gone]
    if LOOPBACK in places:
        words.append(f"bytes on the loopback are not counted: {reason}")
    return [place for place in places if place == LOOPBACK], words


@contextmanager
def on_loopback(ranks: int, mpi: bool) -> Iterator[Manned]:
    """Ranks on one host; in a network namespace of its own where that can be had."""
    if missing():
        with Crew(sys.executable, here() * ranks, mpi=mpi, shared_memory=True) as crew:
            yield Manned(crew, None, ranks, False)
        return
    with (
        Netlab(1, bridge=False) as lab,
        Crew(
            sys.executable, seats(lab.hosts, ranks), mpi=mpi, switch=(lab.switch, "lo"),
            shared_memory=True,
        ) as crew,
    ):  # fmt: skip
        yield Manned(crew, lab, ranks, True)


@contextmanager
def on_hosts(hosts: int, ranks: int, mpi: bool) -> Iterator[Manned]:
    """Ranks on test hosts, as many on each; the links have no limit yet."""
    with (
        Netlab(hosts) as lab,
        Crew(
            sys.executable, seats(lab.hosts, ranks), mpi=mpi, switch=(lab.switch, "bridge")
        ) as crew,
    ):
        yield Manned(crew, lab, ranks // hosts, True)
