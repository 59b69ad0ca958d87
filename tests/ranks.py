"""Rings whose ranks are threads of the test's process."""

from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any, TypeVar

from minicaffe.distributed.communicator import Communicator
from minicaffe.distributed.rendezvous import ThreadRendezvous, connect
from minicaffe.distributed.transport import known_schemes, missing

T = TypeVar("T")

# Where a rank listens, for every transport that this machine can use; those of MINICAFFE_PATH too.
URLS = ("inproc://test", "tcp://127.0.0.1:0")
URLS += tuple(
    f"{name}://127.0.0.1:0"
    for name in known_schemes()
    if name not in ("inproc", "tcp") and not missing(name)
)
SECRET = b"the secret of the tests"


def scheme_of(url: str) -> str:
    """The name of a URL's transport, for a test's name."""
    return url.partition(":")[0]


def at_once(calls: Sequence[Callable[[], T]]) -> list[Any]:
    """What each call returned or raised, each in a thread of its own."""
    with ThreadPoolExecutor(len(calls)) as threads:
        running = [threads.submit(call) for call in calls]
        return [each.exception() or each.result() for each in running]


def outcomes(
    world_size: int,
    work: Callable[[Communicator], T],
    url: str = URLS[0],
    *,
    hosts: Sequence[str] = (),
    **options: Any,
) -> list[Any]:
    """What `work` returned or raised on each rank of a new ring, by rank.

    `options` are those of `connect`; without doubling_bytes everything goes round the ring. With
    `hosts` each rank takes itself for one on that host.
    """
    meeting = ThreadRendezvous.of(world_size, timeout=20)

    def rank_of(rank: int) -> Callable[[], T]:
        def call() -> T:
            settings = {"secret": SECRET, "timeout": 20.0, "doubling_bytes": 0, **options}
            if hosts:
                settings["host"] = hosts[rank]
            with connect(meeting[rank], rank, world_size, url, **settings) as ring:
                return work(ring)

        return call

    return at_once([rank_of(rank) for rank in range(world_size)])


def run_ranks(
    world_size: int, work: Callable[[Communicator], T], url: str = URLS[0], **options: Any
) -> list[T]:
    """What `work` returned on each rank; an error of any rank is raised."""
    results = outcomes(world_size, work, url, **options)
    for result in results:
        if isinstance(result, BaseException):
            raise result
    return results
