"""Rings inside hosts and between them: the collectives over every way to spread ranks on hosts."""

import itertools
import os
import threading
import time
from collections.abc import Callable, Iterator
from itertools import pairwise
from typing import Any

import numpy as np
import pytest

from minicaffe.distributed.communicator import Array, Communicator, chunk_bounds
from minicaffe.distributed.hierarchy import HierarchicalCommunicator, carriers
from minicaffe.distributed.two_paths import TwoPaths
from minicaffe.errors import CommunicationError
from tests.ranks import outcomes, run_ranks

URL = "auto://127.0.0.1:0"
COUNTS = (0, 1, 5, 1000, 70_001)


def sizes_of(ranks: int, most: int) -> Iterator[list[int]]:
    """Every way to part so many ranks into hosts of at most so many."""
    if not ranks:
        yield []
    for size in range(min(ranks, most), 0, -1):
        for rest in sizes_of(ranks - size, size):
            yield [size, *rest]


def spread(sizes: list[int]) -> tuple[str, ...]:
    """The host of each rank: as Spark may have it, not in order."""
    hosts = [f"host {host}" for host, size in enumerate(sizes) for _ in range(size)]
    return tuple(
        hosts[place] for place in np.random.default_rng(len(sizes)).permutation(len(hosts))
    )


# Several ranks on several hosts; what else there is makes one ring (see test_choosing.py).
SPLITS = [
    spread(sizes)
    for world_size in range(3, 7)
    for sizes in sizes_of(world_size, world_size)
    if 1 < len(sizes) < world_size
]
UNEVEN = ("a", "b", "a", "c", "b", "a")  # 3, 2 and 1 ranks


def name_of(hosts: tuple[str, ...]) -> str:
    return "".join(host[-1] for host in hosts)


@pytest.fixture(params=SPLITS, ids=name_of)
def hosts(request: pytest.FixtureRequest) -> tuple[str, ...]:
    found: tuple[str, ...] = request.param
    return found


def term(rank: int, count: int, dtype: Any = np.float32) -> Array:
    """What a rank contributes; its sums are not exact in floating point."""
    values: Array = 1000 * np.random.default_rng(rank).standard_normal(count)
    return values.astype(dtype)


def test_sums_over_all_ranks(hosts: tuple[str, ...]) -> None:
    ranks = range(len(hosts))

    def work(group: Communicator) -> list[Array]:
        assert isinstance(group, HierarchicalCommunicator)
        arrays = [term(group.rank, count, kind) for kind in (np.float32, np.int64, np.uint8)
                  for count in COUNTS]  # fmt: skip
        for array in arrays:
            group.allreduce(array)
        return arrays

    for of_ranks in zip(*run_ranks(len(hosts), work, URL, hosts=hosts), strict=True):
        assert len({array.tobytes() for array in of_ranks}) == 1
        found = of_ranks[0]
        terms = [term(rank, found.size, found.dtype) for rank in ranks]
        if found.dtype == np.float32:
            expected = np.sum(terms, axis=0, dtype=np.float64)
            np.testing.assert_allclose(found, expected, rtol=0, atol=2e-3)
        else:
            np.testing.assert_array_equal(found, np.sum(terms, axis=0, dtype=found.dtype))


def test_parts_have_the_bits_of_one_a_part(hosts: tuple[str, ...]) -> None:
    cuts = [3, 3, 500, 20_000]

    def work(group: Communicator) -> None:
        together, apart = term(group.rank, 30_001), term(group.rank, 30_001)
        group.allreduce(together, cuts)
        for start, end in pairwise([0, *cuts, apart.size]):
            group.allreduce(apart[start:end])
        np.testing.assert_array_equal(together, apart)

    for limit in (0, 4096):
        run_ranks(len(hosts), work, URL, hosts=hosts, doubling_bytes=limit)


def test_what_goes_between_hosts_is_the_least(hosts: tuple[str, ...]) -> None:
    """2 S (H - 1) / H a host, spread over the ranks that carry; nothing of it inside."""
    count, number = 12_000, len(set(hosts))

    def work(group: Communicator) -> tuple[int, int]:
        assert isinstance(group, HierarchicalCommunicator)
        group.allreduce(term(group.rank, count))
        between = group.between.bytes_sent if group.between else 0
        inside = group.inside.bytes_sent if group.inside else 0
        assert group.bytes_sent == between + inside
        return between, inside

    sent = run_ranks(len(hosts), work, URL, hosts=hosts)
    for host in set(hosts):
        ranks = [rank for rank, name in enumerate(hosts) if name == host]
        carry = min(hosts.count(name) for name in hosts)
        least = 2 * 4 * count * (number - 1) / number
        assert sum(sent[rank][0] for rank in ranks) == pytest.approx(least, abs=16 * number)
        assert [sent[rank][0] > 0 for rank in ranks] == [True] * carry + [False] * (
            len(ranks) - carry
        )
        assert max(sent[rank][0] for rank in ranks) == pytest.approx(least / carry, abs=16 * number)
        assert sum(sent[rank][1] for rank in ranks) == 2 * 4 * count * (len(ranks) - 1)


def test_the_other_collectives(hosts: tuple[str, ...]) -> None:
    world_size = len(hosts)

    def work(group: Communicator) -> None:
        for count in (1, 1001):
            bounds = chunk_bounds(count, world_size)
            own = slice(bounds[group.rank], bounds[group.rank + 1])
            numbers = np.full(count, -1, np.int64)
            numbers[own] = np.arange(count)[own]
            group.allgather(numbers)
            np.testing.assert_array_equal(numbers, np.arange(count))
            chunk = group.reduce_scatter(np.arange(count) + group.rank)
            total = world_size * np.arange(count) + sum(range(world_size))
            np.testing.assert_array_equal(chunk, total[own])
            for root in range(world_size):
                array = term(group.rank, count)
                group.broadcast(array, root)
                np.testing.assert_array_equal(array, term(root, count))
        for source, target in itertools.permutations(range(world_size), 2):
            array = term(group.rank, 11)
            group.add_to(array, source, target)
            wanted = term(group.rank, 11)
            if group.rank == target:
                wanted += term(source, 11)
            assert array.tobytes() == wanted.tobytes()
        everybody = [bytes([rank]) * (rank * 100) for rank in range(world_size)]
        assert group.allgather_bytes(everybody[group.rank]) == everybody

    run_ranks(world_size, work, URL, hosts=hosts)


def test_what_is_added_keeps_the_sign_of_its_zeros() -> None:
    """Also where it passes ranks that have nothing to add."""

    def work(group: Communicator) -> list[str]:
        found = []
        for source, target in itertools.permutations(range(6), 2):
            array = np.full(2, -0.0, np.float32)
            group.add_to(array, source, target)
            found += [str(value) for value in array]
        return found

    assert set(itertools.chain(*run_ranks(6, work, URL, hosts=UNEVEN))) == {"-0.0"}


def test_no_rank_leaves_a_barrier_before_all_have_come(hosts: tuple[str, ...]) -> None:
    come: list[int] = []

    def work(group: Communicator) -> int:
        time.sleep(0.01 * group.rank)
        come.append(group.rank)
        group.barrier()
        return len(come)

    assert run_ranks(len(hosts), work, URL, hosts=hosts) == [len(hosts)] * len(hosts)


@pytest.mark.parametrize("way", ["bf16", "fp16"])
def test_compression_is_for_what_goes_between_hosts(way: str) -> None:
    def work(group: Communicator) -> tuple[bytes, Array]:
        array, whole = term(group.rank, 20_000), term(group.rank, 20_000)
        assert isinstance(group, HierarchicalCommunicator)
        sent = group.between.bytes_sent if group.between else 0
        group.allreduce(array, compress=way)
        half = (group.between.bytes_sent if group.between else 0) - sent
        group.allreduce(whole)
        assert (group.between.bytes_sent if group.between else 0) - sent == 3 * half
        np.testing.assert_allclose(array, whole, rtol=0.02, atol=40)
        assert array.tobytes() != whole.tobytes()
        return array.tobytes(), whole

    assert len({bits for bits, _ in run_ranks(6, work, URL, hosts=UNEVEN)}) == 1


def test_small_arrays_double_over_all_ranks() -> None:
    """By pairs, over links inside hosts and between them; large ones take the hierarchy."""

    def work(group: Communicator) -> tuple[bytes, int, int]:
        assert isinstance(group, TwoPaths)
        group.bytes_sent = 0
        small, large = term(group.rank, 100), term(group.rank, 2000)
        group.allreduce(small)
        sent = group.bytes_sent
        group.allreduce(large)
        return small.tobytes(), sent, group.bytes_sent - sent

    found = run_ranks(6, work, URL, hosts=UNEVEN, doubling_bytes=4096)
    assert len({bits for bits, _, _ in found}) == 1
    assert [sent for _, sent, _ in found] == [1200, 1200, 800, 800, 400, 400]
    between, inside = 2 * 8000 * 2, 2 * 8000 * (2 + 1 + 0)  # three hosts, of 3, 2 and 1 ranks
    assert sum(sent for _, _, sent in found) == between + inside


def test_the_host_with_the_fewest_ranks_says_how_many_carry() -> None:
    assert carriers([[0, 3, 4], [1, 2]]) == 2
    assert carriers([[0, 1, 2, 3], [4]]) == 1


# --- failures ------------------------------------------------------------------------------------


def ones(count: int) -> Array:
    return np.ones(count, np.float32)


@pytest.mark.parametrize("limit", [0, 4096])
@pytest.mark.parametrize("lost", range(6))
def test_when_a_rank_dies_all_others_hear_of_it(lost: int, limit: int) -> None:
    """Whether it carries (ranks 0, 1 and 3 do) or not."""

    def work(group: Communicator) -> None:
        group.barrier()
        if group.rank == lost:
            raise KeyError("the body of a rank fails")
        for _ in range(2):
            group.allreduce(ones(100_000))
            group.allreduce(ones(10))

    began = time.monotonic()
    errors = outcomes(6, work, URL, hosts=UNEVEN, timeout=60.0, doubling_bytes=limit)
    assert time.monotonic() - began < 20
    assert isinstance(errors.pop(lost), KeyError)
    assert all(isinstance(error, CommunicationError) for error in errors), errors
    assert f"rank {lost}" in " ".join(map(str, errors))


@pytest.mark.parametrize("limit", [0, 4096])
@pytest.mark.parametrize("lost", [0, 5])
def test_the_news_goes_round_before_anybody_closes(lost: int, limit: int) -> None:
    """Who fails in a collective gives up all its links in it, so that nobody waits for it."""
    told = threading.Barrier(5, timeout=20)

    def work(group: Communicator) -> str:
        group.barrier()
        if group.rank == lost:
            return "gone"
        with pytest.raises(CommunicationError) as raised:
            for _ in range(3):
                group.allreduce(ones(10))
                group.allreduce(ones(100_000))
        told.wait()
        return str(raised.value)

    said = run_ranks(6, work, URL, hosts=UNEVEN, timeout=60.0, doubling_bytes=limit)
    assert said[lost] == "gone"
    assert f"rank {lost} " in " ".join(said)


def inside_of(group: HierarchicalCommunicator) -> Any:
    return group.inside


def between_of(group: HierarchicalCommunicator) -> Any:
    return group.between


@pytest.mark.parametrize("level", [inside_of, between_of])
def test_a_rank_that_dies_within_a_collective_ends_it(
    level: Callable[[HierarchicalCommunicator], Any],
) -> None:
    """It sends a first part of what the others await, and closes."""

    class Death(BaseException):
        pass

    def work(group: Communicator) -> None:
        assert isinstance(group, HierarchicalCommunicator)
        if group.rank == 1:
            transport = level(group)._transport
            usual = transport.sendrecv

            def sendrecv(*args: Any) -> Any:
                for arrived in usual(*args):
                    if arrived == 1:
                        raise Death
                    yield arrived

            transport.sendrecv = sendrecv
        group.allreduce(ones(2_000_000))

    began = time.monotonic()
    errors = outcomes(6, work, URL, hosts=UNEVEN, timeout=60.0)
    assert time.monotonic() - began < 20
    assert isinstance(errors.pop(1), Death)
    assert all(isinstance(error, CommunicationError) for error in errors), errors


@pytest.mark.parametrize("silent", [1, 5])
def test_a_silent_rank_is_named_in_time(silent: int) -> None:
    """Rank 5 stalls inside its host, rank 1 between the hosts too."""
    gone = threading.Semaphore(0)

    def work(group: Communicator) -> None:
        if group.rank == silent:
            for _ in range(5):
                gone.acquire(timeout=20)
        try:
            for _ in range(2):  # the first may find all that it needs: what was sent still arrives
                group.allreduce(ones(100_000))
        finally:
            gone.release()

    began = time.monotonic()
    errors = outcomes(6, work, URL, hosts=UNEVEN, timeout=0.5)
    assert time.monotonic() - began < 10
    assert all(isinstance(error, CommunicationError) for error in errors), errors
    said = " ".join(map(str, errors))
    assert f"rank {silent} " in said and "is silent; awaiting frame" in said


def test_it_leaves_nothing_open() -> None:
    """No descriptor and no memory: not after work, nor after a failure on either level."""

    def open_files() -> int:
        return len(os.listdir("/proc/self/fd"))

    def work(group: Communicator) -> None:
        group.allreduce(ones(100_000))
        if group.rank in (0, 4):
            raise KeyError
        group.allreduce(ones(10))

    if not os.path.isdir("/proc/self/fd"):
        pytest.skip("/proc is Linux's")
    outcomes(6, work, URL, hosts=UNEVEN, doubling_bytes=4096)
    before = open_files()
    for _ in range(3):
        outcomes(6, work, URL, hosts=UNEVEN, doubling_bytes=4096)
    assert open_files() <= before
