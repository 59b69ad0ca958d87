"""The ring view shows what the installed ring did: whose terms went where, and who said what."""

import itertools
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from minicaffe.distributed.ring import RingCommunicator
from minicaffe.distributed.transport.inproc import InprocTransport
from minicaffe.errors import CommunicationError
from minicaffe.inspection import ring_record, ring_view
from minicaffe.inspection.ring_record import Fault, record


@pytest.mark.parametrize("ranks", [2, 3, 4, 7, 12])
def test_a_step_is_what_the_ring_says_of_it(ranks: int) -> None:
    """Rank r sends chunk r - 1 - step, in which so many terms are as steps have been."""
    run = record(ranks)
    assert run.said == [""] * ranks
    for rank, moves in enumerate(run.moves):
        assert len(moves) == 2 * (ranks - 1)
        for step, move in enumerate(moves):
            (sent,) = move.sent
            assert sent.chunk == (rank - 1 - step) % ranks
            assert sum(sent.terms) == min(step + 1, ranks)
            assert move.arrived == step
        assert moves[-1].state == ((1,) * ranks,) * ranks
        assert sum(move.sent[0].bytes for move in moves) * ranks == 2 * run.bytes * (ranks - 1)
    assert run.file.endswith("ring.py")
    assert ring_view.verdict(run).startswith("Every rank has the sum of all terms, each once")


def test_what_arrives_is_what_the_left_neighbour_sent() -> None:
    run = record(4)
    for rank, step in itertools.product(range(4), range(6)):
        (sent,) = run.moves[(rank - 1) % 4][step].sent
        before = run.moves[rank][step - 1].state if step else run.start[rank]
        after = run.moves[rank][step].state
        theirs = sent.terms[:4]
        mine = before[sent.chunk]
        added = tuple(a + b for a, b in zip(mine, theirs, strict=True)) if step < 3 else theirs
        assert after[sent.chunk] == added
        others = [chunk for chunk in range(4) if chunk != sent.chunk]
        assert all(after[chunk] == before[chunk] for chunk in others)


def test_a_rank_that_dies_is_named_by_both_neighbours() -> None:
    run = record(4, Fault("dies", 1, 1))
    assert "rank 1 closed the link" in run.said[0] or "rank 3 closed the link" in run.said[0]
    assert run.said[2].startswith("rank 2: rank 1 closed the link; awaiting frame 1")
    assert all(run.said) and len(run.moves[1]) == 1
    assert ring_view.verdict(run).startswith("Rank 1 died in step 1: 3 of the other 3 ranks")


def test_a_silent_rank_is_named_by_its_right_neighbour(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ring_record, "SHORT_PATIENCE", 0.1)
    run = record(3, Fault("silent", 1, 2))
    assert run.said[2].startswith("rank 2: rank 1 is silent; awaiting frame 2")
    assert all(run.said) and run.seconds < ring_record.PATIENCE


def test_a_ring_that_adds_twice_is_seen(monkeypatch: pytest.MonkeyPatch) -> None:
    plain = RingCommunicator.allreduce

    def twice(self: RingCommunicator, array: NDArray[np.int64]) -> None:
        plain(self, array)
        array += array

    monkeypatch.setattr(RingCommunicator, "allreduce", twice)
    assert ring_view.verdict(record(2)) == "Wrong: rank 0 has 2 x0 + 2 x1 in chunk 0."


def test_a_ring_that_is_not_written_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    def stub(self: RingCommunicator, *_: object, **__: object) -> None:
        raise NotImplementedError("the ring is yours to write")

    monkeypatch.setattr(RingCommunicator, "allreduce", stub)
    sentence = (
        r"the ring of .*ring.py does not run: rank 0: .*NotImplementedError: the ring is yours"
    )
    with pytest.raises(CommunicationError, match=sentence):
        record(3)


@pytest.mark.parametrize("ranks", [0, 1, 13])
def test_rings_that_no_picture_shows(ranks: int) -> None:
    with pytest.raises(CommunicationError, match=f"a ring of {ranks}: 2 to 12 ranks can be shown"):
        record(ranks)


def test_the_transport_is_as_it_was() -> None:
    plain = InprocTransport.sendrecv
    record(2)
    assert InprocTransport.sendrecv is plain


def test_the_page_of_a_ring(tmp_path: Path) -> None:
    pytest.importorskip("jinja2")
    ring_view.write(3, str(tmp_path / "ring.html"))
    text = (tmp_path / "ring.html").read_text(encoding="utf-8")
    assert "A ring of 3" in text and len(text) < 60_000
