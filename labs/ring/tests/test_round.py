"""Task round: the collectives, as the segments of a walk that are sent, awaited and added."""

from itertools import pairwise

import numpy as np
import pytest

from minicaffe.distributed.ring import SEGMENT_BYTES, RingCommunicator
from minicaffe.errors import CommunicationError
from minicaffe.labs.plugin import close
from minicaffe.labs.ranks import outcomes, run_ranks

WORLDS = [2, 3, 4]


def term(rank, count, dtype=np.float32):
    return (1000 * np.random.default_rng(rank).standard_normal(count)).astype(dtype)


def bounds(count, ranks):
    return [count * rank // ranks for rank in range(ranks + 1)]


@pytest.mark.parametrize("dtype", [np.int64, np.float32, np.float64])
@pytest.mark.parametrize("ranks", WORLDS)
def test_allreduce_sums(ranks, dtype):
    for count in (1, ranks, 1000):

        def work(ring, count=count):
            array = term(ring.rank, count, dtype)
            ring.allreduce(array)
            return array

        expected = np.sum([term(rank, count, dtype) for rank in range(ranks)], axis=0)
        for rank, found in enumerate(run_ranks(ranks, work)):
            case = f"rank {rank} of {ranks}, {count} of {np.dtype(dtype)}"
            close("allreduce", found, expected, case, rtol=1e-5, atol=1e-2)


@pytest.mark.parametrize("ranks", [2, 3])
def test_chunks_of_several_segments(ranks):
    count = ranks * (SEGMENT_BYTES // 4) * 2 + 5

    def work(ring):
        array = np.arange(count, dtype=np.float32) % 97 + ring.rank
        ring.allreduce(array)
        return array

    expected = ranks * (np.arange(count) % 97) + sum(range(ranks))
    for rank, found in enumerate(run_ranks(ranks, work)):
        close("allreduce", found, expected, f"rank {rank} of {ranks}, {count} float32")


def test_the_order_of_the_sum_is_fixed_and_all_ranks_hold_its_bits():
    """Chunk c is x[c + 1] + x[c + 2] + ... + x[c], in this order."""
    ranks, count = 4, 1001

    def work(ring):
        array = term(ring.rank, count)
        ring.allreduce(array)
        return array

    by_rank = run_ranks(ranks, work)
    for chunk, (start, end) in enumerate(pairwise(bounds(count, ranks))):
        expected = term((chunk + 1) % ranks, count)[start:end]
        for step in range(2, ranks + 1):
            expected = expected + term((chunk + step) % ranks, count)[start:end]
        for rank in range(ranks):
            case = f"rank {rank}: x[c+1] + x[c+2] + ... + x[c], bit for bit"
            close(f"chunk {chunk}", by_rank[rank][start:end], expected, case, rtol=0, atol=0)


@pytest.mark.parametrize("ranks", WORLDS)
def test_reduce_scatter_and_allgather(ranks):
    count = 10 * ranks + 1

    def work(ring):
        array = term(ring.rank, count, np.int64)
        mine = np.array(ring.reduce_scatter(array))
        other = np.full(count, -1, np.int64)
        start, end = bounds(count, ranks)[ring.rank : ring.rank + 2]
        other[start:end] = np.arange(start, end)
        ring.allgather(other)
        return mine, other

    total = np.sum([term(rank, count, np.int64) for rank in range(ranks)], axis=0)
    for rank, (mine, other) in enumerate(run_ranks(ranks, work)):
        start, end = bounds(count, ranks)[rank : rank + 2]
        close("reduce_scatter", mine, total[start:end], f"rank {rank} of {ranks}")
        close("allgather", other, np.arange(count), f"rank {rank} of {ranks}")


def test_broadcast_barrier_and_bytes():
    """They have walks of their own, and go through _run too."""

    def work(ring):
        array = np.full(5, ring.rank, np.float32)
        ring.broadcast(array, root=1)
        ring.barrier()
        return array, ring.allgather_bytes(b"rank %d" % ring.rank)

    for rank, (array, contents) in enumerate(run_ranks(3, work)):
        close("broadcast", array, np.ones(5), f"rank {rank} of 3, root 1")
        assert contents == [b"rank 0", b"rank 1", b"rank 2"], f"rank {rank} has gathered {contents}"


@pytest.mark.parametrize("ranks", WORLDS)
def test_bytes_are_counted_and_the_least(ranks):
    def work(ring):
        array = np.zeros(12 * ranks, np.float32)
        ring.allreduce(array)
        first = ring.bytes_sent
        ring.allreduce(array)
        return first, ring.bytes_sent

    least = 2 * 4 * 12 * (ranks - 1)
    for rank, found in enumerate(run_ranks(ranks, work)):
        assert found == (least, 2 * least), (
            f"rank {rank} of {ranks} counts {found} bytes after one and two allreduces of "
            f"{48 * ranks} bytes, expected {(least, 2 * least)}"
        )


@pytest.mark.parametrize("compress", ["bf16", "fp16"])
def test_rounded_sums_are_equal_everywhere(compress):
    """With `compress` float32 travels in 2 bytes: half the bytes, the same bits everywhere."""
    ranks, count = 3, 300

    def work(ring):
        array = term(ring.rank, count) / 1000
        ring.allreduce(array, compress=compress)
        return array, ring.bytes_sent

    by_rank = run_ranks(ranks, work)
    expected = np.sum([term(rank, count) / 1000 for rank in range(ranks)], axis=0)
    for rank, (found, sent) in enumerate(by_rank):
        case = f"rank {rank} of {ranks}, {compress}"
        close("allreduce", found, expected, case, rtol=0, atol=0.06)
        close("allreduce", found, by_rank[0][0], f"{case}, beside rank 0", rtol=0, atol=0)
        assert sent == 2 * 2 * 2 * count // 3, (
            f"rank {rank} sent {sent} bytes, expected {8 * count // 3}: 2 a number ({compress})"
        )


class Recorder:
    """A transport that notes the frames, and brings none."""

    def __init__(self, error=None):
        self.calls, self.closed, self.error = [], False, error

    def sendrecv(self, to_right, from_left, lead):
        self.calls.append((to_right, from_left, lead))
        if self.error:
            raise self.error
        return iter(())

    def close(self):
        self.closed = True


def test_frames_know_which_collective_they_belong_to():
    transport = Recorder()
    ring = RingCommunicator(transport, 0, 2)
    for _ in range(3):
        ring.allreduce(np.zeros(4, np.float32))
    found = [int.from_bytes(calls[0][0].header[12:16], "big") for calls in transport.calls]
    assert found == [0, 1, 2], (
        f"the frames of three collectives in a row have the sequence numbers {found}, expected "
        "0, 1, 2: self._sequence counts the collectives that are over"
    )


@pytest.mark.parametrize("error", [CommunicationError("rank 1: silence"), KeyboardInterrupt()])
def test_an_error_closes_the_links_and_goes_on(error):
    transport = Recorder(error)
    ring = RingCommunicator(transport, 0, 2)
    with pytest.raises(type(error)):
        ring.allreduce(np.zeros(4, np.float32))
    assert transport.closed, (
        f"a {type(error).__name__} in sendrecv left the links open: the neighbours wait for ever"
    )
    assert ring.bytes_sent == 0, "bytes of a collective that failed are not counted"


def test_one_rank_that_fails_ends_the_others():
    def work(ring):
        if ring.rank == 1:
            raise RuntimeError("this rank fails")
        ring.allreduce(np.zeros(1000, np.float32))

    results = outcomes(3, work, timeout=5.0)
    for rank in (0, 2):
        assert isinstance(results[rank], CommunicationError), (
            f"rank 1 failed, and rank {rank} came to {results[rank]!r}, expected a "
            "CommunicationError"
        )
