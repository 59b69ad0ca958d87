"""Task schedule: which segments a rank sends and awaits, and in which order."""

import pytest

from minicaffe.distributed.walks import segments_of, walk_round

WORLDS = [2, 3, 4, 7]
BIG = 1 << 20  # a step that cuts nothing


def bounds(count, ranks):
    return tuple(count * rank // ranks for rank in range(ranks + 1))


def walk(rank, ranks, kind, parts, step=BIG):
    """The walk of one of the three collectives, as ring.py asks for it."""
    first, steps, reduces = {
        "allreduce": (rank - 1, 2 * (ranks - 1), True),
        "reduce_scatter": (rank - 1, ranks - 1, True),
        "allgather": (rank, ranks - 1, False),
    }[kind]
    return walk_round(parts, first, steps, ranks, step, reduces)


def chunks(segments):
    return [chunk for chunk, _, _ in segments]


@pytest.mark.parametrize(
    ("chosen", "step", "expected"),
    [
        ([1], 100, [(1, 3, 6)]),
        ([2, 0], 100, [(2, 6, 10), (0, 0, 3)]),
        ([2], 3, [(2, 6, 9), (2, 9, 10)]),
        ([2], 2, [(2, 6, 8), (2, 8, 10)]),
        ([], 2, []),
    ],
)
def test_segments_of_one_part(chosen, step, expected):
    found = list(segments_of([(0, 3, 6, 10)], chosen, step))
    assert found == expected, (
        f"segments_of gives {found}, expected {expected} "
        f"(bounds 0 3 6 10, chunks {chosen}, step {step})"
    )


def test_segments_of_several_parts_go_chunk_by_chunk():
    found = list(segments_of([(0, 2, 4), (4, 4, 9)], [1, 0], 3))
    expected = [(1, 2, 4), (1, 4, 7), (1, 7, 9), (0, 0, 2)]
    assert found == expected, (
        f"segments_of gives {found}, expected {expected}: all parts of a chunk, then the next "
        "chunk; an empty chunk (the first of the second part) has no segment"
    )


def test_three_ranks_do_what_the_table_says():
    """docs/ring.md: rank 0 sends c b a c, rank 1 a c b a, rank 2 b a c b."""
    for rank, (sent, awaited) in enumerate([("cbac", "bacb"), ("acba", "cbac"), ("bacb", "acba")]):
        found = walk(rank, 3, "allreduce", (bounds(9, 3),))
        for what, segments, expected in (
            ("sends", found.to_right, sent),
            ("awaits", found.from_left, awaited),
        ):
            letters = "".join("abc"[chunk] for chunk in chunks(segments))
            assert letters == expected, f"rank {rank} of 3 {what} {letters}, expected {expected}"


@pytest.mark.parametrize("kind", ["allreduce", "reduce_scatter", "allgather"])
@pytest.mark.parametrize("ranks", WORLDS)
def test_what_a_rank_sends_is_what_its_right_neighbour_awaits(ranks, kind):
    parts = (bounds(50, ranks), tuple(50 + bound for bound in bounds(3, ranks)))
    for step in (BIG, 4):
        walks = [walk(rank, ranks, kind, parts, step) for rank in range(ranks)]
        for rank in range(ranks):
            right = (rank + 1) % ranks
            sent, awaited = list(walks[rank].to_right), list(walks[right].from_left)
            assert sent == awaited, (
                f"{kind}, {ranks} ranks, step {step}: rank {rank} sends {sent[:4]}..., "
                f"its right neighbour awaits {awaited[:4]}..."
            )


@pytest.mark.parametrize("kind", ["allreduce", "reduce_scatter", "allgather"])
@pytest.mark.parametrize("ranks", WORLDS)
def test_lead_and_reduced_count_segments(ranks, kind):
    parts = (bounds(60, ranks),)
    for rank in range(ranks):
        found = walk(rank, ranks, kind, parts, 4)
        first = (rank if kind == "allgather" else rank - 1) % ranks
        lead = len(segments_of(parts, [first], 4))
        case = f"({kind}, rank {rank} of {ranks}, step 4)"
        assert found.lead == lead, (
            f"lead is {found.lead}, expected {lead}: the segments of the first chunk {case}"
        )
        added = [(first - hop) % ranks for hop in range(1, ranks)]
        reduced = 0 if kind == "allgather" else len(segments_of(parts, added, 4))
        assert found.reduced == reduced, (
            f"reduced is {found.reduced}, expected {reduced}: the segments that come in the first "
            f"P - 1 steps, if the walk reduces {case}"
        )


@pytest.mark.parametrize("ranks", WORLDS)
def test_no_rank_sends_more_than_it_must(ranks):
    """2 S (P - 1) / P elements an allreduce, half of that for each half of it."""
    parts = (bounds(12 * ranks, ranks),)
    for kind, times in (("allreduce", 2), ("reduce_scatter", 1), ("allgather", 1)):
        for rank in range(ranks):
            sent = sum(end - start for _, start, end in walk(rank, ranks, kind, parts).to_right)
            least = times * 12 * (ranks - 1)
            assert sent == least, (
                f"{kind}: rank {rank} of {ranks} sends {sent} elements of {12 * ranks}, "
                f"expected {least}"
            )


@pytest.mark.parametrize("ranks", WORLDS)
def test_an_allreduce_ends_with_every_chunk_everywhere(ranks):
    """Followed by hand: who has whose terms, when the walks are done step by step."""
    whole = frozenset(range(ranks))
    have = [[{rank} for _ in range(ranks)] for rank in range(ranks)]
    walks = [walk(rank, ranks, "allreduce", (bounds(ranks, ranks),)) for rank in range(ranks)]
    for step in range(2 * (ranks - 1)):
        sent = [set(have[rank][walks[rank].to_right[step][0]]) for rank in range(ranks)]
        for rank in range(ranks):
            chunk = walks[rank].from_left[step][0]
            came = sent[(rank - 1) % ranks]
            if step < walks[rank].reduced:
                assert not came & have[rank][chunk], (
                    f"{ranks} ranks, step {step}: rank {rank} adds the terms of ranks "
                    f"{sorted(came & have[rank][chunk])} to chunk {chunk} a second time"
                )
                have[rank][chunk] |= came
            else:
                have[rank][chunk] = came
    for rank in range(ranks):
        for chunk in range(ranks):
            assert have[rank][chunk] == whole, (
                f"{ranks} ranks: at the end chunk {chunk} of rank {rank} holds the terms of "
                f"{sorted(have[rank][chunk])} only"
            )
