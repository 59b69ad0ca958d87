"""Task transport: sendrecv over mailboxes that are full after two frames."""

import threading
import time

import numpy as np
import pytest

from minicaffe.distributed.auth import Member
from minicaffe.distributed.frames import CHECKED, Kind, make_frame
from minicaffe.distributed.transport import mine
from minicaffe.errors import CommunicationError
from minicaffe.labs.plugin import close
from minicaffe.labs.ranks import run_ranks

SIZE = 8  # bytes of a frame


def transports(ranks, timeout=3.0):
    """A ring of transports, joined by hand."""
    boxes = [mine.Mailbox() for _ in range(ranks)]
    return [
        mine.MineTransport(Member(rank, ranks), boxes[(rank + 1) % ranks], boxes[rank], timeout)
        for rank in range(ranks)
    ]


def frames(count, fill=0, kind=Kind.ALLREDUCE | CHECKED):
    """Frames 0 .. count - 1 with memory of their own, filled with `fill` + their number."""
    return [
        make_frame(kind, 4, 0, number, 0, 0, memoryview(bytearray([fill + number] * SIZE)))
        for number in range(count)
    ]


def at_once(calls, seconds=10):
    """Run each in a thread; what they returned or raised."""
    results = [None] * len(calls)

    def work(place):
        try:
            results[place] = calls[place]()
        except BaseException as error:
            results[place] = error

    threads = [threading.Thread(target=work, args=(n,), daemon=True) for n in range(len(calls))]
    for thread in threads:
        thread.start()
    for place, thread in enumerate(threads):
        thread.join(seconds)
        if thread.is_alive():
            pytest.fail(f"rank {place} of {len(calls)} still waits after {seconds} s: a deadlock?")
    for place, result in enumerate(results):
        gave_up = isinstance(result, CommunicationError) or "task faults" in str(result)
        if gave_up and "a frame out of turn" not in str(result):
            pytest.fail(
                f"rank {place} of {len(calls)} has waited in vain, though nobody is at fault: does "
                "a rank send all before it receives, or is a frame taken twice, or never sent?"
            )
        if isinstance(result, BaseException):
            raise result
    return results


@pytest.mark.parametrize("count", [1, 2, 3, 20])
@pytest.mark.parametrize("ranks", [2, 3])
def test_all_send_and_all_receive(ranks, count):
    """All ranks have more to send than a mailbox holds: nobody may wait to send first."""
    ring = transports(ranks)

    def work(rank):
        awaited = frames(count)
        order = list(ring[rank].sendrecv(frames(count, 100 * (rank % 2)), awaited, count))
        return order, [frame.payload[0] for frame in awaited]

    results = at_once([lambda rank=rank: work(rank) for rank in range(ranks)])
    for rank, (order, values) in enumerate(results):
        case = f"rank {rank} of {ranks}, {count} frames"
        assert order == list(range(count)), (
            f"sendrecv yielded {order}, expected 0 to {count - 1} ({case})"
        )
        left = 100 * ((rank - 1) % ranks % 2)
        close("the payloads", values, [left + n for n in range(count)], case)


@pytest.mark.parametrize("lead", [1, 2, 5])
def test_a_frame_goes_only_after_the_one_it_is_made_of(lead):
    """Frame lead + i goes after the caller has come back from i; here it is written there."""
    count, (first, second) = 8, transports(2)
    to_right, from_left = frames(count), frames(count)
    echoed = frames(count)

    def front():
        for arrived in first.sendrecv(to_right, from_left, lead):
            if lead + arrived < count:
                time.sleep(0.01)  # what is sent too early still has its old bytes
                to_right[lead + arrived].payload[:] = bytes([50 + arrived] * SIZE)

    def back():
        return list(second.sendrecv(frames(count), echoed, count))

    at_once([front, back])
    expected = [n if n < lead else 50 + n - lead for n in range(count)]
    close("what the right neighbour got", [f.payload[0] for f in echoed], expected,
          f"lead {lead}: frame lead + i is made when i is yielded")  # fmt: skip


def test_frames_that_share_memory_come_one_at_a_time():
    """What is yielded is the caller's until it comes back: no later frame may lie there yet."""
    first, second = transports(2)
    memory = memoryview(bytearray(SIZE))
    awaited = [frame._replace(payload=memory) for frame in frames(6)]
    seen = []

    def reader():
        for _ in first.sendrecv([], awaited, 0):
            time.sleep(0.005)
            seen.append(memory[0])

    at_once([reader, lambda: list(second.sendrecv(frames(6, 10), [], 6))])
    close("what lay in the memory", seen, [10, 11, 12, 13, 14, 15], "six frames, one memory")


def test_one_may_only_send_and_the_other_only_receive():
    first, second = transports(2)
    awaited = frames(9)
    at_once(
        [
            lambda: list(first.sendrecv(frames(9, 1), [], 9)),
            lambda: list(second.sendrecv([], awaited, 0)),
        ]
    )
    close("the payloads", [frame.payload[0] for frame in awaited], list(range(1, 10)))
    assert list(first.sendrecv([], [], 0)) == [], "nothing to do is done at once"


def test_what_was_sent_before_a_link_closed_still_arrives():
    first, second = transports(2)
    assert list(first.sendrecv(frames(2, 7), [], 2)) == []
    first.close()
    awaited = frames(2)
    order = list(second.sendrecv([], awaited, 0))
    assert order == [0, 1] and awaited[1].payload[0] == 8, (
        "frames that lay in the mailbox when it was closed are taken"
    )


@pytest.mark.parametrize("ranks", [2, 4])
def test_the_ring_runs_on_it(ranks):
    """connect(..., "mine://x"): all collectives, on arrays of many segments."""

    def work(ring):
        array = np.arange(700_001, dtype=np.float32) % 11 + ring.rank
        ring.allreduce(array)
        ring.barrier()
        return array

    expected = ranks * (np.arange(700_001) % 11) + sum(range(ranks))
    for rank, found in enumerate(run_ranks(ranks, work, "mine://x")):
        close("allreduce", found, expected, f"rank {rank} of {ranks} over mine://")
