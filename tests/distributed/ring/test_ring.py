"""The collectives: right sums, the same bits on every rank and in every run."""

import itertools
import tracemalloc
from collections.abc import Callable
from itertools import pairwise
from typing import Any

import numpy as np
import pytest

from minicaffe.distributed.communicator import Array, Communicator, chunk_bounds
from minicaffe.distributed.ring import SEGMENT_BYTES, RingCommunicator
from minicaffe.errors import CommunicationError
from tests.ranks import URLS, outcomes, run_ranks, scheme_of

WORLD_SIZES = (1, 2, 3, 4, 7)
SEGMENT = SEGMENT_BYTES // 4
COUNTS = (0, 1, 3, 1000)  # none, one, fewer than ranks, a multiple of few of them
TYPES = (np.float32, np.float64, np.int64)


def term(rank: int, count: int, dtype: type = np.float32) -> Array:
    """What a rank contributes; its sums are not exact in floating point."""
    return (1000 * np.random.default_rng(rank).standard_normal(count)).astype(dtype)


def total(world_size: int, count: int, dtype: type = np.float32) -> Array:
    terms = [term(rank, count, dtype) for rank in range(world_size)]
    return np.sum(terms, axis=0, dtype=np.int64 if dtype is np.int64 else np.float64)


def assert_sum(found: Array, world_size: int, dtype: type = np.float32) -> None:
    expected = total(world_size, found.size, dtype)
    tolerance = {np.float32: 1e-2, np.float64: 1e-11, np.int64: 0}[dtype]
    np.testing.assert_allclose(found, expected, rtol=0, atol=tolerance)


@pytest.fixture(params=URLS, ids=scheme_of)
def url(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.mark.parametrize("world_size", WORLD_SIZES)
@pytest.mark.parametrize("dtype", TYPES, ids=lambda dtype: dtype.__name__)
def test_allreduce_sums_over_the_ranks_and_leaves_equal_bits(
    url: str, world_size: int, dtype: type
) -> None:
    def work(ring: Communicator) -> list[Array]:
        arrays = [term(ring.rank, count, dtype) for count in COUNTS]
        for array in arrays:
            ring.allreduce(array)
        return arrays

    by_rank = run_ranks(world_size, work, url)
    for of_all_ranks in zip(*by_rank, strict=True):
        assert_sum(of_all_ranks[0], world_size, dtype)
        assert len({array.tobytes() for array in of_all_ranks}) == 1


@pytest.mark.parametrize("world_size", [2, 3, 4])
@pytest.mark.parametrize("crc", [False, True], ids=["plain", "crc"])
def test_chunks_of_several_segments(url: str, world_size: int, crc: bool) -> None:
    def work(ring: Communicator) -> Array:
        array = term(ring.rank, 4 * SEGMENT + 5)
        ring.allreduce(array)
        return array

    by_rank = run_ranks(world_size, work, url, crc=crc)
    assert_sum(by_rank[0], world_size)
    assert all(np.array_equal(by_rank[0], array) for array in by_rank)


def test_chunks_larger_than_what_lies_between_two_sockets() -> None:
    count = 6 << 20  # 24 MiB; the kernel holds a few

    def work(ring: Communicator) -> float:
        array = np.full(count, ring.rank + 1, np.float32)
        ring.allreduce(array)
        return float(array.min() + array.max())

    assert run_ranks(2, work, URLS[1]) == [6.0, 6.0]


@pytest.mark.parametrize("world_size", WORLD_SIZES)
@pytest.mark.parametrize("count", [0, 1, 3, 1000, 2 * SEGMENT + 5])
def test_bytes_on_the_wire_are_the_least(world_size: int, count: int) -> None:
    """2 S (P - 1) / P for an allreduce, S (P - 1) / P for its halves; and a header a segment."""

    def work(ring: Communicator) -> list[tuple[int, int]]:
        if not isinstance(ring, RingCommunicator):
            return [(0, 0)] * 3
        sent: list[tuple[int, int]] = []
        forward = ring._transport.sendrecv

        def counted(to_right: Any, from_left: Any, lead: int) -> Any:
            sent.append((sum(len(frame.payload) for frame in to_right), len(to_right)))
            return forward(to_right, from_left, lead)

        ring._transport.sendrecv = counted  # type: ignore[method-assign]
        array = term(ring.rank, count)
        for collective in (ring.allreduce, ring.reduce_scatter, ring.allgather):
            collective(array)
        return sent

    by_rank = run_ranks(world_size, work)
    bounds = chunk_bounds(count, world_size)
    chunks = [end - begin for begin, end in pairwise(bounds)]
    for collective, walks in enumerate((2, 1, 1)):
        of_ranks = [sent[collective] for sent in by_rank]
        all_bytes = sum(payload for payload, _ in of_ranks)
        assert all_bytes == walks * (world_size - 1) * 4 * count
        assert max(payload for payload, _ in of_ranks) <= walks * (world_size - 1) * 4 * max(chunks)
        segments = sum(-(-chunk // SEGMENT) for chunk in chunks)
        assert sum(frames for _, frames in of_ranks) == walks * (world_size - 1) * segments


def test_the_order_of_the_sum_is_fixed() -> None:
    """Chunk c is summed from rank c + 1 round to rank c: the same bits by hand."""
    ranks, count = 4, 1001
    found = run_ranks(ranks, lambda ring: _reduced(ring, count))[0]
    bounds = chunk_bounds(count, ranks)
    for chunk in range(ranks):
        part = slice(bounds[chunk], bounds[chunk + 1])
        expected = term((chunk + 1) % ranks, count)[part]
        for step in range(2, ranks + 1):
            expected = expected + term((chunk + step) % ranks, count)[part]
        np.testing.assert_array_equal(found[part], expected)


@pytest.mark.parametrize("world_size", WORLD_SIZES)
def test_an_allreduce_in_parts_gives_the_bits_of_one_a_part(url: str, world_size: int) -> None:
    """In the messages of one: so many frames as there are chunks of parts that are not empty."""
    cuts = [3, 3, 5000, 200_000]

    def work(ring: Communicator) -> tuple[Array, Array]:
        together, apart = term(ring.rank, 300_001), term(ring.rank, 300_001)
        ring.allreduce(together, cuts)
        for start, end in itertools.pairwise([0, *cuts, apart.size]):
            ring.allreduce(apart[start:end])
        return together, apart

    for together, apart in run_ranks(world_size, work, url):
        np.testing.assert_array_equal(together, apart)
        assert_sum(together, world_size)


@pytest.mark.parametrize("world_size", WORLD_SIZES)
@pytest.mark.parametrize("count", [0, 5, 300_001])
def test_one_array_is_added_to_another_wherever_they_are(
    url: str, world_size: int, count: int
) -> None:
    def work(ring: Communicator) -> list[Array]:
        found = []
        for source, target in itertools.permutations(range(world_size), 2):
            array = term(ring.rank, count)
            ring.add_to(array, source, target)
            wanted = term(ring.rank, count)
            if ring.rank == target:
                wanted += term(source, count)
            np.testing.assert_array_equal(array, wanted)
            found.append(array)
        return found

    run_ranks(world_size, work, url)


def test_every_run_and_every_transport_gives_the_same_bits() -> None:
    runs = [run_ranks(3, lambda ring: _reduced(ring, 200_000), url)[0] for url in URLS * 2]
    assert len({array.tobytes() for array in runs}) == 1


def _reduced(ring: Communicator, count: int) -> Array:
    array = term(ring.rank, count)
    ring.allreduce(array)
    return array


@pytest.mark.parametrize("world_size", WORLD_SIZES)
@pytest.mark.parametrize("count", COUNTS)
def test_reduce_scatter_leaves_each_rank_its_own_chunk(world_size: int, count: int) -> None:
    chunks = run_ranks(world_size, lambda ring: ring.reduce_scatter(term(ring.rank, count)))
    bounds = chunk_bounds(count, world_size)
    assert [chunk.size for chunk in chunks] == np.diff(bounds).tolist()
    assert_sum(np.concatenate(chunks), world_size)


@pytest.mark.parametrize("world_size", WORLD_SIZES)
@pytest.mark.parametrize("count", COUNTS)
def test_allgather_fills_in_the_chunks_of_the_others(world_size: int, count: int) -> None:
    bounds = chunk_bounds(count, world_size)

    def work(ring: Communicator) -> Array:
        array = np.full(count, -1, np.int64)
        own = slice(bounds[ring.rank], bounds[ring.rank + 1])
        array[own] = np.arange(count)[own]
        ring.allgather(array)
        return array

    for array in run_ranks(world_size, work):
        np.testing.assert_array_equal(array, np.arange(count))


def test_reduce_scatter_and_allgather_make_an_allreduce() -> None:
    def work(ring: Communicator) -> bool:
        whole, parts = term(ring.rank, 999), term(ring.rank, 999)
        ring.allreduce(whole)
        ring.reduce_scatter(parts)
        ring.allgather(parts)
        return whole.tobytes() == parts.tobytes()

    assert all(run_ranks(4, work))


@pytest.mark.parametrize("world_size", WORLD_SIZES)
def test_broadcast_from_every_root(url: str, world_size: int) -> None:
    def work(ring: Communicator) -> None:
        for root in range(world_size):
            array = term(ring.rank, 2 * SEGMENT + 1 if root == 0 else root)
            ring.broadcast(array, root)
            np.testing.assert_array_equal(array, term(root, array.size))

    run_ranks(world_size, work, url)


@pytest.mark.parametrize("world_size", WORLD_SIZES)
def test_allgather_bytes_of_different_lengths(url: str, world_size: int) -> None:
    everybody = [bytes([rank]) * (rank * 100) for rank in range(world_size)]
    found = run_ranks(world_size, lambda ring: ring.allgather_bytes(everybody[ring.rank]), url)
    assert found == [everybody] * world_size


@pytest.mark.parametrize("world_size", WORLD_SIZES)
def test_no_rank_leaves_a_barrier_before_all_have_come(url: str, world_size: int) -> None:
    come: list[int] = []

    def work(ring: Communicator) -> int:
        come.append(ring.rank)
        ring.barrier()
        return len(come)

    assert run_ranks(world_size, work, url) == [world_size] * world_size


def test_collectives_keep_apart_when_ranks_run_ahead() -> None:
    def work(ring: Communicator) -> list[float]:
        found = []
        for turn in range(50):
            array = np.full(5, turn + ring.rank, np.float32)
            ring.allreduce(array)
            root = np.full(3, ring.rank, np.float32)
            ring.broadcast(root, turn % ring.world_size)
            found += [float(array[-1]), float(root[0])]
        return found

    expected = [value for turn in range(50) for value in (3 * turn + 3, turn % 3)]
    assert run_ranks(3, work, URLS[1]) == [expected] * 3


def test_any_shape_is_reduced_in_place() -> None:
    def work(ring: Communicator) -> Array:
        array = np.full((2, 3, 4), ring.rank + 1, np.float32)
        ring.allreduce(array)
        return array

    for array in run_ranks(2, work):
        np.testing.assert_array_equal(array, np.full((2, 3, 4), 3, np.float32))


MISUSES: dict[str, tuple[str, Callable[[Communicator], object]]] = {
    "type": ("float16", lambda ring: ring.allreduce(np.zeros(4, np.float16))),
    "order": ("C-contiguous", lambda ring: ring.allreduce(np.zeros((4, 4), np.float32).T)),
    "read-only": ("writable", lambda ring: ring.broadcast(np.frombuffer(b"1234", np.uint8))),
    "root": ("no rank 2", lambda ring: ring.broadcast(np.zeros(1, np.float32), 2)),
}


@pytest.mark.parametrize("misuse", MISUSES)
def test_what_cannot_be_reduced_is_named(misuse: str) -> None:
    words, work = MISUSES[misuse]
    for outcome in outcomes(2, work):
        assert isinstance(outcome, CommunicationError)
        assert words in str(outcome)


def test_a_long_run_keeps_no_memory() -> None:
    """In steady state a call allocates nothing that grows with the array."""

    def work(ring: Communicator) -> int:
        array = np.ones(2 * SEGMENT, np.float32)
        ring.allreduce(array)
        ring.barrier()
        if ring.rank == 0:
            tracemalloc.start()
        ring.barrier()
        for _ in range(3):
            ring.allreduce(array)
        ring.barrier()
        peak = tracemalloc.get_traced_memory()[1]
        ring.barrier()
        if ring.rank == 0:
            tracemalloc.stop()
        return peak

    assert max(run_ranks(2, work, URLS[1])) < SEGMENT_BYTES // 4


def test_chunks_differ_by_one_element_at_most() -> None:
    for count in (0, 1, 6, 7, 8, 1000):
        sizes = np.diff(chunk_bounds(count, 7))
        assert sizes.sum() == count
        assert sizes.max() - sizes.min() <= 1
