"""float32 in 2 bytes: rounded to nearest even, half the bytes, and the same bits on every rank."""

import numpy as np
import pytest

from minicaffe.distributed.communicator import Array, Communicator, chunk_bounds
from minicaffe.distributed.compression import WAYS
from minicaffe.distributed.ring import SEGMENT_BYTES
from minicaffe.distributed.sync import create_sync
from minicaffe.errors import ClusterError, CommunicationError
from tests.ranks import URLS, outcomes, run_ranks, scheme_of

UNIT = {"bf16": 2.0**-8, "fp16": 2.0**-11}  # the relative error of one rounding
EDGES = [0x7F800000, 0x7F7FFFFF, 0x477FEFFF, 0x477FF000, 0x33000000, 0x33000001, 0x387FF000, 1, 0]


def any_bits(count: int) -> Array:
    """float32 of all kinds, every second one half-way between two halves, or beside that."""
    bits = np.random.default_rng(5).integers(0, 1 << 32, count, dtype=np.uint32)
    bits[::4] = bits[::4] & 0xFFFFE000 | 0x1000
    bits[1::4] = bits[1::4] & 0xFFFF0000 | 0x8000
    bits[2::4] = bits[2::4] & 0x8FFFFFFF | 0x38000000  # of fp16's range
    edges = np.array(EDGES, np.uint32)
    return np.concatenate([bits, edges, edges | 0x80000000]).view(np.float32)


def rounded(way: str, numbers: Array) -> tuple[Array, Array]:
    """The halves of some numbers, and their values."""
    rounding = WAYS[way](numbers.size)
    halves, values = np.empty(numbers.size, np.uint16), np.empty_like(numbers)
    rounding.encode(numbers, halves)
    rounding.decode(halves, values)
    return halves, values


def bf16_by_hand(bits: int) -> int:
    """The upper half of a float32 that is a number, to nearest even."""
    upper, rest = bits >> 16, bits & 0xFFFF
    return upper + (rest > 0x8000 or (rest == 0x8000 and upper & 1 == 1))


def test_bf16_rounds_to_nearest_even() -> None:
    numbers = any_bits(20_000)
    halves, values = rounded("bf16", numbers)
    known = ~np.isnan(numbers)
    expected = [bf16_by_hand(int(bits)) for bits in numbers.view(np.uint32)[known]]
    np.testing.assert_array_equal(halves[known], expected)
    assert np.isnan(values[~known]).all() and (~known).any()
    np.testing.assert_array_equal(values.view(np.uint32) >> 16, halves)


def test_fp16_is_ieee_754s_binary16() -> None:
    numbers = any_bits(200_000)
    halves, values = rounded("fp16", numbers)
    with np.errstate(all="ignore"):
        expected = numbers.astype(np.float16)
    known = ~np.isnan(numbers)
    np.testing.assert_array_equal(halves[known], expected.view(np.uint16)[known])
    np.testing.assert_array_equal(values, expected.astype(np.float32))


@pytest.mark.parametrize("way", WAYS)
def test_halves_survive_their_values(way: str) -> None:
    """Rounding is done once: what has been rounded is exact."""
    halves = np.arange(1 << 16, dtype=np.uint16)
    values = np.empty(1 << 16, np.float32)
    WAYS[way](1 << 16).decode(halves, values)
    again, _ = rounded(way, values)
    known = ~np.isnan(values)
    np.testing.assert_array_equal(again[known], halves[known])


def test_what_fp16_cannot_hold_is_infinite_and_not_clipped() -> None:
    def work(ring: Communicator) -> Array:
        array = np.array([40_000, -40_000, 1e-3, np.nan], np.float32)
        ring.allreduce(array, compress="fp16")
        return array

    for array in run_ranks(2, work):
        assert array[:2].tolist() == [np.inf, -np.inf]
        assert np.isfinite(array[2]) and np.isnan(array[3])


# --- in the ring ---------------------------------------------------------------------------------


def term(rank: int, count: int) -> Array:
    return np.random.default_rng(rank).standard_normal(count).astype(np.float32)


def sum_in_order(terms: list[Array], way: str) -> Array:
    """What the ring must come to, by its documented order and roundings."""
    ranks, count = len(terms), terms[0].size
    bounds, found = chunk_bounds(count, ranks), np.empty(count, np.float32)
    for chunk in range(ranks):
        part = slice(bounds[chunk], bounds[chunk + 1])
        total = terms[(chunk + 1) % ranks][part]
        for step in range(2, ranks + 1):
            total = terms[(chunk + step) % ranks][part] + rounded(way, total)[1]
        found[part] = rounded(way, total)[1]
    return found


@pytest.mark.parametrize("url", URLS, ids=scheme_of)
@pytest.mark.parametrize("world_size", [2, 3, 5])
@pytest.mark.parametrize("way", WAYS)
def test_sums_are_those_of_the_documented_order(url: str, world_size: int, way: str) -> None:
    count = SEGMENT_BYTES // 4 * 2 + 7
    terms = [term(rank, count) for rank in range(world_size)]

    def work(ring: Communicator) -> tuple[Array, int]:
        array = terms[ring.rank].copy()
        ring.allreduce(array, compress=way)
        return array, ring.bytes_sent

    by_rank = run_ranks(world_size, work, url)
    expected = sum_in_order(terms, way)
    for array, _ in by_rank:
        np.testing.assert_array_equal(array, expected)
    assert sum(sent for _, sent in by_rank) == 2 * (world_size - 1) * 2 * count

    exact, scale = np.sum(terms, axis=0, dtype=np.float64), np.sum(np.abs(terms), axis=0)
    bound = world_size * UNIT[way] * 1.01 * scale + 1e-7
    assert (np.abs(expected - exact) <= bound).all()
    assert not np.array_equal(expected, exact.astype(np.float32))


def test_parts_give_the_bits_of_one_a_part() -> None:
    def work(ring: Communicator) -> None:
        together, apart = term(ring.rank, 1001), term(ring.rank, 1001)
        ring.allreduce(together, [3, 500], compress="bf16")
        for start, end in [(0, 3), (3, 500), (500, 1001)]:
            ring.allreduce(apart[start:end], compress="bf16")
        np.testing.assert_array_equal(together, apart)

    run_ranks(3, work)


@pytest.mark.parametrize("dtype", [np.float64, np.int64])
def test_other_types_stay_whole(dtype: type) -> None:
    def work(ring: Communicator) -> Array:
        array = np.arange(100, dtype=dtype) * 1234567
        ring.allreduce(array, compress="bf16")
        assert ring.bytes_sent == 800
        return array

    for array in run_ranks(2, work):
        np.testing.assert_array_equal(array, np.arange(100) * 2 * 1234567)


def test_ranks_that_disagree_never_mix() -> None:
    def work(ring: Communicator) -> None:
        ring.allreduce(term(0, 100), compress="bf16" if ring.rank == 1 else "fp16")

    errors = outcomes(2, work)
    assert all(isinstance(error, CommunicationError) for error in errors), errors
    assert "dtype 5 instead of 6" in str(errors[0])


def test_what_there_is_none_of_is_named() -> None:
    def work(ring: Communicator) -> None:
        ring.allreduce(term(0, 1), compress="bf8")

    for error in outcomes(2, work):
        assert "compress=bf8: one of none, bf16, fp16 is expected" in str(error)
    with pytest.raises(ClusterError, match="compress=bf8: one of none, bf16, fp16 is expected"):
        create_sync("allreduce:compress=bf8", None)  # type: ignore[arg-type]
