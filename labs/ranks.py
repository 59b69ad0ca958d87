"""Rings whose ranks are threads of one process, for the tests of labs."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from minicaffe.distributed.communicator import Communicator
from minicaffe.distributed.rendezvous import ThreadRendezvous, connect
from minicaffe.errors import CommunicationError


def outcomes(
    world_size: int,
    work: Callable[[Communicator], Any],
    url: str = "inproc://lab",
    *,
    timeout: float = 10.0,
    **options: Any,
) -> list[Any]:
    """What `work` returned or raised on each rank of a new ring; `options` are those of connect.

    Everything goes round the ring, small arrays too.
    """
    meeting = ThreadRendezvous.of(world_size, timeout=timeout)
    settings = {"secret": b"of the lab", "doubling_bytes": 0, "timeout": timeout, **options}

    def rank_of(rank: int) -> Any:
        with connect(meeting[rank], rank, world_size, url, **settings) as ring:
            return work(ring)

    with ThreadPoolExecutor(world_size) as threads:
        running = [threads.submit(rank_of, rank) for rank in range(world_size)]
        return [each.exception() or each.result() for each in running]


def run_ranks(
    world_size: int, work: Callable[[Communicator], Any], url: str = "inproc://lab", **options: Any
) -> list[Any]:
    """What `work` returned on each rank.

    Raises what a rank raised: at first what is no error of the ring, since that follows from it.
    """
    results = outcomes(world_size, work, url, **options)
    errors = [each for each in results if isinstance(each, BaseException)]
    errors.sort(key=lambda error: isinstance(error, CommunicationError))
    if errors:
        raise errors[0]
    return results
