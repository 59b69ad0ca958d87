"""Task bounds: where the chunks of an array begin and end."""

from itertools import pairwise

import pytest

from minicaffe.distributed.communicator import chunk_bounds
from minicaffe.labs.plugin import close

CASES = [(12, 3), (10, 3), (11, 4), (1, 1), (5, 1), (2, 4), (0, 2), (1000, 7)]


@pytest.mark.parametrize(("count", "world_size"), CASES)
def test_bounds_are_those_of_equal_chunks_rounded_down(count, world_size):
    found = chunk_bounds(count, world_size)
    expected = [count * rank // world_size for rank in range(world_size + 1)]
    close("chunk_bounds", found, expected, f"{count} elements, {world_size} ranks", rtol=0, atol=0)


def test_any_number_of_elements_is_shared_evenly(rng):
    for _ in range(50):
        count, world_size = int(rng.integers(0, 10**7)), int(rng.integers(1, 65))
        case = f"({count} elements, {world_size} ranks)"
        found = chunk_bounds(count, world_size)
        assert len(found) == world_size + 1, (
            f"chunk_bounds gives {len(found)} bounds {case}, expected {world_size + 1}"
        )
        ends = (found[0], found[-1])
        assert ends == (0, count), (
            f"the chunks begin and end at {ends}, expected (0, {count}) {case}"
        )
        sizes = {end - start for start, end in pairwise(found)}
        assert max(sizes) - min(sizes) <= 1, (
            f"the chunks have {min(sizes)} to {max(sizes)} elements {case}: one more at most"
        )
