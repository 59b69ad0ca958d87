"""Task faults: what a rank says when its neighbour is dead, silent, or out of turn."""

import re
import threading

import pytest

from minicaffe.distributed.auth import Member
from minicaffe.distributed.frames import CHECKED, Kind, make_frame
from minicaffe.distributed.transport import mine
from minicaffe.errors import CommunicationError
from minicaffe.labs.ranks import outcomes

PATIENCE = 0.2  # seconds


def transports(ranks, timeout=PATIENCE):
    boxes = [mine.Mailbox() for _ in range(ranks)]
    return [
        mine.MineTransport(Member(rank, ranks), boxes[(rank + 1) % ranks], boxes[rank], timeout)
        for rank in range(ranks)
    ]


def frame(number=3, chunk=1, sequence=17, iteration=5, kind=Kind.ALLREDUCE):
    return make_frame(kind, 1, chunk, number, sequence, iteration, memoryview(bytearray(8)))


AWAITED = "awaiting frame 3 of allreduce 17 (iteration 5, chunk 1, 8 bytes) from rank 0"
SENDING = "sending frame 3 of allreduce 17 (iteration 5, chunk 1, 8 bytes) to rank 2"


def said(transport, to_right, from_left):
    """The message of the error that this sendrecv must raise."""
    with pytest.raises(CommunicationError) as caught:
        list(transport.sendrecv(to_right, from_left, len(to_right)))
    return str(caught.value)


def must_match(found, what, *doing):
    """rank 1: WHAT; DOING and DOING for 0.2 s"""
    pattern = re.escape(f"rank 1: {what}; {' and '.join(doing)} for ") + r"\d+\.\d s"
    assert re.fullmatch(pattern, found), (
        f"the error says '{found}', expected 'rank 1: {what}; {' and '.join(doing)} for 0.2 s'"
    )


def test_a_silent_left_neighbour():
    _, me, _ = transports(3)
    must_match(said(me, [], [frame()]), "rank 0 is silent", AWAITED)


def test_the_seconds_are_those_it_waited():
    _, me, _ = transports(3, timeout=0.3)
    found = said(me, [], [frame()])
    assert found.endswith("for 0.3 s") or found.endswith("for 0.4 s"), (
        f"it waited 0.3 s and says '{found[-10:]}'"
    )


def test_a_right_neighbour_that_takes_nothing():
    _, me, _ = transports(3)
    list(me.sendrecv([frame(0), frame(1)], [], 2))  # the mailbox is full now
    must_match(said(me, [frame()], []), "rank 2 is silent", SENDING)


def test_both_are_silent_and_the_left_one_is_to_blame():
    _, me, _ = transports(3)
    list(me.sendrecv([frame(0), frame(1)], [], 2))
    must_match(said(me, [frame()], [frame()]), "rank 0 is silent", AWAITED, SENDING)


def test_a_left_neighbour_that_has_closed():
    left, me, _ = transports(3, timeout=30)
    left.close()
    must_match(said(me, [], [frame()]), "rank 0 closed the link", AWAITED)


def test_a_right_neighbour_that_has_closed():
    _, me, right = transports(3, timeout=30)
    right.close()
    found = said(me, [frame()], [])
    must_match(found, "rank 2 closed the link", SENDING)


def test_a_closed_link_goes_before_a_silent_neighbour():
    _, me, right = transports(3)
    right.close()
    must_match(said(me, [frame()], [frame()]), "rank 2 closed the link", AWAITED, SENDING)


def test_a_link_that_closes_ends_the_wait():
    left, me, _ = transports(3, timeout=30)
    timer = threading.Timer(0.1, left.close)
    timer.start()
    try:
        must_match(said(me, [], [frame()]), "rank 0 closed the link", AWAITED)
    finally:
        timer.join()


def test_a_frame_out_of_turn():
    left, me, _ = transports(3)
    list(left.sendrecv([frame(iteration=4)], [], 1))
    found = said(me, [], [frame()])
    what = "rank 0 sent a frame out of turn: iteration 4 instead of 5"
    must_match(found, what, AWAITED)
    assert "for 0.0 s" in found, f"the frame was there at once, and the error says '{found[-10:]}'"


def test_a_damaged_payload():
    left, me, _ = transports(3)
    checked = Kind.ALLREDUCE | CHECKED
    list(left.sendrecv([frame(kind=checked)], [], 1))
    header, payload = left._outbox.frames.pop()
    left._outbox.frames.append((header, b"x" + payload[1:]))
    found = said(me, [], [frame(kind=checked)])
    assert found.startswith("rank 1: rank 0 sent a damaged payload: crc "), (
        f"a byte of a checked frame was changed, and the error says '{found}', expected "
        "'rank 1: rank 0 sent a damaged payload: crc ...' (check_payload)"
    )


def test_in_a_ring_every_rank_names_the_one_it_waits_for():
    """Rank 2 leaves: rank 3 hears it from its link, and the news walks on."""

    def work(ring):
        if ring.rank != 2:
            ring.barrier()

    results = outcomes(4, work, "mine://y", timeout=20)
    for rank in (0, 1, 3):
        found = str(results[rank])
        left, right = (rank - 1) % 4, (rank + 1) % 4
        assert re.match(rf"rank {rank}: rank ({left}|{right}) closed the link; ", found), (
            f"rank 2 left, and rank {rank} says '{found}', expected 'rank {rank}: rank ... closed "
            "the link; ...' with one of its neighbours"
        )
