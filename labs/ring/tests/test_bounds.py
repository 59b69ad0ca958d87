"""Task bounds: where the chunks of an array begin and end."""

import pytest

from minicaffe.distributed.communicator import chunk_bounds


@pytest.mark.parametrize(("count", "world_size"), [(12, 3), (10, 3), (2, 4), (0, 2), (1, 1)])
def test_bounds(count, world_size):
    found = chunk_bounds(count, world_size)
    assert len(found) == world_size + 1, (
        f"{found} has {len(found)} bounds, expected {world_size + 1}"
    )
