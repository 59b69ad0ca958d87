"""Small arrays by recursive doubling: a fixed tree, the same bits, and which way an array goes."""

import threading
import time
from itertools import pairwise
from typing import Any

import numpy as np
import pytest

from minicaffe.distributed.communicator import Array, Communicator
from minicaffe.distributed.recursive_doubling import partners
from minicaffe.distributed.two_paths import CHUNK_BYTES, TwoPaths
from minicaffe.errors import CommunicationError
from tests.ranks import URLS, outcomes, run_ranks, scheme_of

LIMIT = 4096


@pytest.fixture(params=URLS, ids=scheme_of)
def url(request: pytest.FixtureRequest) -> str:
    return str(request.param)


def term(rank: int, count: int, dtype: Any = np.float32) -> Array:
    """What a rank contributes; its sums are not exact in floating point."""
    values = 1000 * np.random.default_rng(rank).standard_normal(count)
    return values.astype(dtype)


def tree(terms: list[Array]) -> Array:
    """The sum as the file says it: fold what is beyond a power of two, then halves of halves."""
    core = 1 << (len(terms).bit_length() - 1)
    folded = [
        terms[rank] + terms[rank + core] if rank + core < len(terms) else terms[rank]
        for rank in range(core)
    ]
    while len(folded) > 1:
        folded = [low + high for low, high in zip(folded[::2], folded[1::2], strict=True)]
    return folded[0]


def counted(ring: Communicator) -> dict[str, int]:
    """What the two ways have sent so far."""
    assert isinstance(ring, TwoPaths)
    return {"base": ring._base.bytes_sent, "doubling": ring._doubling.bytes_sent}


@pytest.mark.parametrize("world_size", range(2, 20))
def test_partners_have_each_other(world_size: int) -> None:
    """log2 P of them, and one more for a rank beyond the power of two and its partner."""
    core = 1 << (world_size.bit_length() - 1)
    for rank in range(world_size):
        mine = partners(rank, world_size)
        assert len(set(mine)) == len(mine)
        assert all(rank in partners(other, world_size) for other in mine)
        folds = rank + core < world_size
        assert len(mine) == (1 if rank >= core else core.bit_length() - 1 + folds)


@pytest.mark.parametrize("world_size", range(2, 10))
@pytest.mark.parametrize("dtype", [np.float32, np.float64, np.int64, np.uint8])
def test_the_sum_is_the_same_tree_on_every_rank(world_size: int, dtype: Any) -> None:
    counts = (1, 3, LIMIT // np.dtype(dtype).itemsize)

    def work(ring: Communicator) -> list[Array]:
        arrays = [term(ring.rank, count, dtype) for count in counts]
        for array in arrays:
            ring.allreduce(array)
        assert counted(ring)["base"] == 0 or world_size > 2  # only addresses went round the ring
        return arrays

    by_rank = run_ranks(world_size, work, doubling_bytes=LIMIT)
    for count, of_ranks in zip(counts, zip(*by_rank, strict=True), strict=True):
        expected = tree([term(rank, count, dtype) for rank in range(world_size)])
        assert {array.tobytes() for array in of_ranks} == {expected.tobytes()}


@pytest.mark.parametrize("world_size", [2, 3, 4, 6])
def test_every_transport_gives_these_bits(url: str, world_size: int) -> None:
    def work(ring: Communicator) -> bytes:
        found = b""
        for count in (1, 1000):
            array = term(ring.rank, count)
            ring.allreduce(array)
            ring.barrier()
            found += array.tobytes()
        return found

    terms = [[term(rank, count) for rank in range(world_size)] for count in (1, 1000)]
    expected = b"".join(tree(of_count).tobytes() for of_count in terms)
    assert run_ranks(world_size, work, url, doubling_bytes=LIMIT) == [expected] * world_size


def test_zeros_keep_their_signs_and_what_is_not_finite_stays_so() -> None:
    def work(ring: Communicator) -> list[str]:
        sign = -1 if ring.rank == 1 else 1
        array = np.array([-0.0, sign * 0.0, sign * np.inf, np.inf, 1.0], np.float32)
        array[4] = np.nan if ring.rank == 4 else 1
        with np.errstate(invalid="ignore"):  # inf - inf
            ring.allreduce(array)
        return [str(value) for value in array]

    assert run_ranks(5, work, doubling_bytes=LIMIT) == [["-0.0", "0.0", "nan", "inf", "nan"]] * 5


@pytest.mark.parametrize("world_size", [2, 3, 4, 7])
def test_a_rank_sends_all_of_it_in_each_step(world_size: int) -> None:
    def work(ring: Communicator) -> int:
        ring.bytes_sent = 0
        ring.allreduce(term(ring.rank, 100))
        assert counted(ring)["base"] == 0
        return ring.bytes_sent

    core = 1 << (world_size.bit_length() - 1)
    sent = run_ranks(world_size, work, doubling_bytes=LIMIT)
    assert sent == [400 * len(partners(rank, world_size)) for rank in range(world_size)]
    assert min(sent[:core]) == 400 * (core.bit_length() - 1)


@pytest.mark.parametrize("world_size", [2, 3, 4])
def test_size_alone_decides(world_size: int) -> None:
    """Up to the limit an array doubles, beyond it goes round; a part goes as if it were alone."""
    cuts = [3, 1000, 1003, 2000, 2001, 5000, 5000, 5010, 8000, 9500]  # 1024 elements are the limit
    total = 9600

    def work(ring: Communicator) -> tuple[bytes, bytes, dict[str, int]]:
        together, apart = term(ring.rank, total), term(ring.rank, total)
        before = counted(ring)
        ring.allreduce(together, cuts)
        after = counted(ring)
        for start, end in pairwise([0, *cuts, total]):
            ring.allreduce(apart[start:end])
        return together.tobytes(), apart.tobytes(), {way: after[way] - before[way] for way in after}

    found = run_ranks(world_size, work, doubling_bytes=LIMIT)
    assert len({bits for together, apart, _ in found for bits in (together, apart)}) == 1
    small = sum(b - a for a, b in pairwise([0, *cuts, total]) if b - a <= LIMIT // 4)
    sent = [by_way for _, _, by_way in found]
    assert [each["doubling"] for each in sent] == [
        4 * small * len(partners(rank, world_size)) for rank in range(world_size)
    ]
    assert sum(each["base"] for each in sent) == 2 * (world_size - 1) * 4 * (total - small)


def test_the_sum_of_an_element_depends_on_the_ranks_alone() -> None:
    """Not on its place: on a ring it does."""

    def work(ring: Communicator) -> list[bytes]:
        array = np.full(1000, term(ring.rank, 1)[0])
        ring.allreduce(array)
        return [value.tobytes() for value in array]

    assert len(set(run_ranks(6, work, doubling_bytes=LIMIT)[0])) == 1


@pytest.mark.parametrize("world_size", [2, 3, 5, 8])
@pytest.mark.parametrize("size", [0, 1, CHUNK_BYTES // 2, 3 * CHUNK_BYTES])
def test_allgathers_of_any_size(world_size: int, size: int) -> None:
    """Small ones are sums with zeros; what is gathered keeps its bits, signs of zeros too."""

    def work(ring: Communicator) -> tuple[list[bytes], bytes]:
        own = np.full(size, -0.0)
        array = np.ones(world_size * size)
        array[ring.rank * size : (ring.rank + 1) * size] = own
        ring.allgather(array)
        return ring.allgather_bytes(bytes([ring.rank]) * size * ring.rank), bytes(array.tobytes())

    contents = [bytes([rank]) * size * rank for rank in range(world_size)]
    zeros = np.full(world_size * size, -0.0).tobytes()
    found = run_ranks(world_size, work, doubling_bytes=LIMIT)
    assert found == [(contents, zeros)] * world_size


@pytest.mark.parametrize("world_size", [2, 3, 4, 6])
def test_no_rank_leaves_a_barrier_before_all_have_come(url: str, world_size: int) -> None:
    come: list[int] = []

    def work(ring: Communicator) -> int:
        time.sleep(0.02 * ring.rank)
        come.append(ring.rank)
        ring.barrier()
        return len(come)

    assert run_ranks(world_size, work, url, doubling_bytes=LIMIT) == [world_size] * world_size


# --- failures ------------------------------------------------------------------------------------


@pytest.mark.parametrize("world_size", [2, 3, 4, 7])
def test_when_a_rank_dies_all_others_hear_of_it(url: str, world_size: int) -> None:
    """Whichever way they are waiting: those that it was to meet, those that go round the ring."""

    def work(ring: Communicator) -> None:
        ring.barrier()
        if ring.rank == 1:
            raise KeyError("the body of a rank fails")
        for _ in range(3):
            ring.allreduce(np.ones(10, np.float32))
            ring.allreduce(np.ones(LIMIT, np.float32))

    began = time.monotonic()
    errors = outcomes(world_size, work, url, timeout=60.0, doubling_bytes=LIMIT)
    assert time.monotonic() - began < 20
    assert isinstance(errors.pop(1), KeyError)
    assert all(isinstance(error, CommunicationError) for error in errors), errors


@pytest.mark.parametrize("world_size", [3, 4, 6])
def test_a_silent_rank_is_named_in_time(url: str, world_size: int) -> None:
    gone = threading.Semaphore(0)

    def work(ring: Communicator) -> None:
        if ring.rank == 1:
            for _ in range(world_size - 1):
                gone.acquire(timeout=20)
        try:
            for _ in range(2):  # the first may find all that it needs: what was sent still arrives
                ring.allreduce(np.ones(10, np.float32))
        finally:
            gone.release()

    began = time.monotonic()
    errors = outcomes(world_size, work, url, timeout=0.5, doubling_bytes=LIMIT)
    assert time.monotonic() - began < 10
    assert all(isinstance(error, CommunicationError) for error in errors), errors
    said = [str(error) for error in errors if "rank 1" in str(error) and "is silent" in str(error)]
    assert said, errors
    assert "awaiting frame 0 of doubling" in said[0]


def test_ranks_that_disagree_about_the_count_never_mix(url: str) -> None:
    def work(ring: Communicator) -> None:
        ring.allreduce(np.ones(10 if ring.rank == 1 else 12, np.float32))

    errors = outcomes(4, work, url, doubling_bytes=LIMIT)
    assert all(isinstance(error, CommunicationError) for error in errors), errors
    assert "length 40 instead of 48" in str(errors)


def test_the_crc_goes_with_these_frames_too() -> None:
    def work(ring: Communicator) -> list[bool]:
        assert isinstance(ring, TwoPaths)
        checked: list[bool] = []
        link = ring._doubling._links[ring.rank ^ 1]
        usual = link.sendrecv

        def sendrecv(to_right: Any, from_left: Any, lead: int) -> Any:
            checked.extend(frame.checked for frame in (*to_right, *from_left))
            return usual(to_right, from_left, lead)

        link.sendrecv = sendrecv  # type: ignore[method-assign]
        ring.allreduce(np.ones(4, np.float32))
        return checked

    for crc in (True, False):
        assert run_ranks(2, work, doubling_bytes=LIMIT, crc=crc) == [[crc, crc]] * 2
