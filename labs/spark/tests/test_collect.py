"""Task collect: rank 0 adds up what all ranks hold."""

from typing import Any

import numpy as np
import pytest

from minicaffe.distributed.sync import create_sync
from minicaffe.labs.plugin import close
from minicaffe.labs.ranks import run_ranks


def added(ranks: int, arrays: Any) -> list[tuple[Any, int]]:
    """Of each rank: what `add_up` left in its array, and the bytes that it sent."""

    def work(ring: Any) -> tuple[Any, int]:
        sync: Any = create_sync("sparknet", ring)
        array, before = arrays[ring.rank].copy(), ring.bytes_sent
        sync.add_up(array)
        return array, ring.bytes_sent - before

    return run_ranks(ranks, work)


@pytest.mark.parametrize("ranks", [2, 3, 5])
def test_rank_0_holds_the_sum(rng: Any, ranks: int) -> None:
    """In float32, added in the same order every time."""
    arrays = rng.standard_normal((ranks, 1000)).astype(np.float32)
    case = f"{ranks} ranks, arrays of 1000"
    expected = arrays[0].copy()
    for each in reversed(arrays[1:]):
        expected += each
    got = added(ranks, arrays)[0][0]
    close("sum on rank 0", got, expected, case)
    assert np.array_equal(got, expected), (
        f"{case}: the sum is right but for its last bits: rank 0 adds rank {ranks - 1} first, then"
        f" {ranks - 2}, down to 1"
    )


def test_what_it_costs(rng: Any) -> None:
    """Each array goes whole to rank 0, along the ring: rank r passes on what came before."""
    arrays = rng.standard_normal((4, 1000)).astype(np.float32)
    sent = [sent for _, sent in added(4, arrays)]
    assert sent == [0, 4000, 8000, 12000], (
        f"4 ranks, 4000 bytes each: they send {sent} bytes, expected [0, 4000, 8000, 12000]: every"
        " rank's array travels to rank 0 once"
    )
