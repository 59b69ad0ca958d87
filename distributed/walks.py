"""Walks: which segments a rank sends and awaits in one collective.

Trainings make the same few collectives again and again: what each sends is worked out once.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from functools import lru_cache
from itertools import pairwise
from typing import NamedTuple

from .communicator import chunk_bounds

# A segment: its chunk, and where it begins and ends, in elements.
Segment = tuple[int, int, int]


class Walk(NamedTuple):
    """What one collective sends and receives on one rank.

    The first `lead` segments to the right may go at once; the first `reduced` that come from the
    left are added to what is here, the rest replace it.
    """

    to_right: Sequence[Segment]
    from_left: Sequence[Segment]
    lead: int
    reduced: int = 0


@lru_cache(maxsize=64)
def chunks_of_parts(
    size: int, cuts: tuple[int, ...], world_size: int
) -> tuple[tuple[int, ...], ...]:
    """The bounds of the chunks of every part of an array."""
    return tuple(
        tuple(start + bound for bound in chunk_bounds(end - start, world_size))
        for start, end in pairwise([0, *cuts, size])
    )


@lru_cache(maxsize=64)
def walk_round(
    parts: tuple[tuple[int, ...], ...],
    first: int,
    steps: int,
    world_size: int,
    step: int,
    reduces: bool,
) -> Walk:
    """The walk of a round (see ring.py) in segments of at most `step` elements."""
    chunks = [(first - hop) % world_size for hop in range(steps + 1)]
    lead = segments_of(parts, chunks[:1], step)
    passing = segments_of(parts, chunks[1:-1], step)
    last = segments_of(parts, chunks[-1:], step)
    reduced = len(segments_of(parts, chunks[1:world_size], step)) if reduces else 0
    return Walk(lead + passing, passing + last, len(lead), reduced)


def segments_of(parts: Sequence[Sequence[int]], chunks: Iterable[int], step: int) -> list[Segment]:
    """The segments of these chunks, in order, in parts with these bounds; an empty one has none."""
    return [
        (chunk, start, min(start + step, bounds[chunk + 1]))
        for chunk in chunks
        for bounds in parts
        for start in range(bounds[chunk], bounds[chunk + 1], step)
    ]
