"""The ring over RDMA: the bits of tcp, straight from array to array, and nothing left behind."""

import gc
import os
from typing import Any

import numpy as np
import pytest

from minicaffe.distributed.communicator import Communicator
from minicaffe.distributed.frames import Kind, make_frame
from minicaffe.distributed.transport import missing
from minicaffe.distributed.transport._verbs import device
from tests.ranks import outcomes, run_ranks

pytestmark = pytest.mark.skipif(bool(missing("rdma")), reason=missing("rdma"))

RDMA, TCP = "rdma://127.0.0.1:0", "tcp://127.0.0.1:0"


def terms(rank: int, count: int, dtype: str) -> Any:
    values = np.random.default_rng([rank, count]).standard_normal(count) * 100
    return values.astype(dtype)


@pytest.mark.parametrize("world_size", [2, 3, 4])
def test_sums_have_the_bits_of_tcp(world_size: int) -> None:
    counts = (0, 1, world_size - 1, world_size, 1001, 300_007)

    def work(ring: Communicator) -> list[bytes]:
        found = []
        for dtype in ("float32", "float64", "int64", "uint8"):
            for count in counts:
                array = terms(ring.rank, count, dtype)
                ring.allreduce(array)
                found.append(array.tobytes())
        return found

    by_rdma = run_ranks(world_size, work, RDMA)
    assert by_rdma == run_ranks(world_size, work, TCP)
    assert all(each == by_rdma[0] for each in by_rdma)


@pytest.mark.parametrize("options", [{}, {"crc": True, "mac": True}], ids=["plain", "checked"])
def test_every_collective_has_the_bits_of_tcp(options: dict[str, bool]) -> None:
    def work(ring: Communicator) -> list[bytes]:
        array = terms(ring.rank, 300_007, "float32")
        found = [ring.reduce_scatter(array.copy()).tobytes()]
        for compress in ("none", "bf16"):
            ring.allgather(array)
            ring.allreduce(array, compress=compress)
            found.append(array.tobytes())
        mine = terms(ring.rank, 5, "float32")
        ring.broadcast(mine, root=2)
        ring.add_to(mine, 1, 0)
        ring.barrier()
        found.append(mine.tobytes())
        return found + ring.allgather_bytes(b"of rank %d" % ring.rank * ring.rank)

    assert run_ranks(3, work, RDMA, **options) == run_ranks(3, work, TCP, **options)


def test_any_place_of_an_array_may_be_sent() -> None:
    """Odd beginnings and lengths, and two pieces of one array in two calls."""

    def work(ring: Communicator) -> list[bytes]:
        whole = np.arange(100_001, dtype=np.uint8) * (ring.rank + 1)
        ring.allreduce(whole[1:7])
        ring.allreduce(whole[99:70_000])
        ring.allreduce(whole[-1:])
        return [whole.tobytes()]

    assert run_ranks(2, work, RDMA) == run_ranks(2, work, TCP)


def test_an_array_is_registered_once_and_goes_when_it_goes() -> None:
    def work(ring: Communicator) -> list[int]:
        def registered() -> int:
            gc.collect()
            ring.barrier()
            found = len([key for key in card._regions if key[1] >= 40_000])
            ring.barrier()
            return found

        card = ring._transport._left.pair.device  # type: ignore[attr-defined]
        first, second = np.ones(10_000, np.float32), np.ones(20_000, np.float32)
        ring.allreduce(first)
        counts = [registered()]
        for _ in range(5):
            ring.allreduce(first[100:5000])
            ring.allreduce(second)
        counts.append(registered())
        del first
        counts.append(registered())
        return counts

    # Both ranks are of this process and so share the card; each has the scratch memory of its ring.
    one, other = run_ranks(2, work, "rdma://127.0.0.1:0?device=rxe0")
    assert one[1] - one[0] == 2 == one[1] - one[2]
    assert one == other


def test_a_payload_longer_than_a_card_takes_at_once() -> None:
    """soft-RoCE takes 8 MiB; the pieces arrive as one frame."""
    size = (17 << 20) + 5

    def work(ring: Communicator) -> bool:
        mine = np.full(size, ring.rank + 1, np.uint8)
        mine[-1] = 99 + ring.rank
        theirs = np.zeros(size, np.uint8)
        sent, awaited = (
            make_frame(Kind.BROADCAST, 4, 0, 0, 0, 0, each.data) for each in (mine, theirs)
        )
        transport = ring._transport  # type: ignore[attr-defined]
        assert transport._right.pair._longest < size
        assert list(transport.sendrecv([sent], [awaited], 1)) == [0]
        return bool((theirs[:-1] == 2 - ring.rank).all() and theirs[-1] == 100 - ring.rank)

    assert run_ranks(2, work, RDMA) == [True, True]


def test_memory_that_is_no_array_may_be_sent_as_well() -> None:
    def work(ring: Communicator) -> list[bytes]:
        targets = [bytearray(1000) for _ in range(12)]
        frames, awaited = (
            [make_frame(Kind.BARRIER, 4, 0, n, 0, 0, memoryview(each)) for n, each in enumerate(of)]
            for of in ([bytes([n]) * 1000 for n in range(12)], targets)
        )
        transport = ring._transport  # type: ignore[attr-defined]
        assert list(transport.sendrecv(frames, awaited, 12)) == list(range(12))
        return [bytes(each[:1]) for each in targets]

    assert run_ranks(2, work, RDMA) == [[bytes([n]) for n in range(12)]] * 2


@pytest.mark.parametrize("devices", ["rxe0", "rxe0,rxe1"])
def test_links_are_spread_over_the_cards_that_are_given(devices: str) -> None:
    if "rxe1" in devices and not os.path.exists("/sys/class/infiniband/rxe1"):
        pytest.skip("there is no second card here")

    def work(ring: Communicator) -> tuple[bytes, list[str]]:
        array = terms(ring.rank, 5000, "float64")
        ring.allreduce(array)
        transport = ring._transport  # type: ignore[attr-defined]
        links = (transport._right, transport._left)
        return array.tobytes(), [link.pair.device.card.device for link in links]

    found = run_ranks(4, work, f"{RDMA}?device={devices}")
    names = devices.split(",")
    for rank, (_, used) in enumerate(found):
        assert used == [names[rank % len(names)], names[(rank - 1) % 4 % len(names)]]
    assert len({bits for bits, _ in found}) == 1


def test_nothing_is_left_open() -> None:
    def open_files() -> int:
        return len(os.listdir("/proc/self/fd"))

    run_ranks(2, lambda ring: ring.allreduce(np.ones(1000)), RDMA)
    before = open_files()
    for _ in range(3):
        run_ranks(3, lambda ring: ring.allreduce(np.ones(1000)), RDMA)
        outcomes(2, lambda ring: ring.allreduce(np.ones(1000 + ring.rank)), RDMA)  # it fails
    assert open_files() <= before
    assert device._open == {}
