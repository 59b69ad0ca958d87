"""The ring as pictures: `minicaffe inspect -ring 4 -o ring.html`, a picture a step.

Who sends which chunk to whom, whose terms are inside, and how many bytes have gone; the same ring
again with a rank that dies and with one that falls silent, and what each rank then says. All of it
was recorded from the ring that is installed (ring_record.py), nothing is worked out here.
"""

from __future__ import annotations

from dataclasses import asdict
from typing import Any

from .page import fill, write_text
from .ring_record import Fault, Run, record

STYLES = ("common.css", "ring.css")
SCRIPTS = ("dom.js", "unpack.js", "words.js", "ring.js")


def write(world_size: int, path: str) -> None:
    """Write the page of a ring of so many ranks. Raises CommunicationError, MissingExtra."""
    write_text(render(world_size), path)


def render(world_size: int) -> str:
    """The page as HTML. Raises CommunicationError where the ring does not run at all."""
    return page_of(runs_of(world_size))


def runs_of(world_size: int) -> list[Run]:
    """A whole run; one in which rank 1 dies, and one in which it is silent, in step 1."""
    faults = (None, Fault("dies", 1, 1), Fault("silent", 1, 1))
    return [record(world_size, fault) for fault in faults]


def page_of(runs: list[Run]) -> str:
    """The page of these runs."""
    whole = runs[0]
    data = {"file": whole.file, "ranks": len(whole.moves), "runs": [_run(run) for run in runs]}
    facts = {"title": f"A ring of {len(whole.moves)}", "file": whole.file}
    return fill("ring.html", STYLES, SCRIPTS, data, facts)


def _run(run: Run) -> dict[str, Any]:
    return {**asdict(run), "verdict": verdict(run)}


def verdict(run: Run) -> str:
    """What has come of it, in a sentence."""
    ranks = len(run.moves)
    if run.fault:
        told = [rank for rank, text in enumerate(run.said) if text and rank != run.fault.rank]
        ended = f"{len(told)} of the other {ranks - 1} ranks said so within {run.seconds:.1f} s"
        return f"Rank {run.fault.rank} {WHAT[run.fault.kind]} in step {run.fault.step}: {ended}."
    if failed := [text for text in run.said if text]:
        return f"It did not come to its end: {failed[0]}"
    for rank, state in enumerate(run.end):
        for chunk, terms in enumerate(state):
            if terms != (1,) * ranks:
                return f"Wrong: rank {rank} has {in_words(terms)} in chunk {chunk}."
    sent = max(sum(each.bytes for move in moves for each in move.sent) for moves in run.moves)
    bound = 2 * run.bytes * (ranks - 1) / ranks
    return (
        f"Every rank has the sum of all terms, each once; a rank sent {sent:,} bytes at most"
        f" (2 S (P - 1) / P = {bound:,.0f})."
    )


WHAT = {"dies": "died", "silent": "fell silent"}


def in_words(terms: tuple[int, ...]) -> str:
    """ "x0 + 2 x1"; "several sums" where the elements of a chunk do not agree."""
    if not terms:
        return "several sums"
    parts = [
        f"{often} x{rank}" if often > 1 else f"x{rank}" for rank, often in enumerate(terms) if often
    ]
    return " + ".join(parts) or "nothing"
