"""Whatever is summed, wherever, however: the documented order's bits, and no byte too many."""

import random
import socket
import struct
import sys
import threading
from collections.abc import Callable
from itertools import pairwise
from typing import Any, NamedTuple

import numpy as np
import pytest

from minicaffe.distributed.communicator import Array, chunk_bounds
from minicaffe.distributed.compression import WAYS
from minicaffe.distributed.frames import HEADER_SIZE, MAC_SIZE
from minicaffe.distributed.ring import SEGMENT_BYTES, RingCommunicator
from tests.ranks import URLS, scheme_of
from tests.wires import plain_rings

RINGS = [(size, 64) for size in range(2, 9)] + [(2, 4096), (5, 4096)]  # ranks, segments
TYPES = (np.float32, np.float64, np.int64)
SIGNING = ("tcp", "unix", "shm")


class Case(NamedTuple):
    """One allreduce."""

    count: int
    dtype: type
    compress: str
    cuts: tuple[int, ...]

    @property
    def carried(self) -> int:
        """Bytes of an element on the wire."""
        if self.dtype is np.float32 and self.compress != "none":
            return 2
        return int(np.dtype(self.dtype).itemsize)


def cases(world_size: int, segment_bytes: int) -> list[Case]:
    """Lengths at every edge, and by chance; types, compressions and cuts by chance.

    The same in every run: they follow from the arguments alone.
    """
    dice = random.Random(f"{world_size} {segment_bytes}")
    segment = segment_bytes // 4
    counts = [0, 1, world_size - 1, world_size, world_size + 1, segment - 1]
    counts += [segment * world_size, segment * world_size + 1, 3 * segment * world_size - 1]
    counts += [dice.randrange(20 * segment) for _ in range(3)]
    found = []
    for count in counts:
        dtype, compress = dice.choice(TYPES), dice.choice(["none", "none", *WAYS])
        if compress != "none" and dice.random() < 0.8:
            dtype = np.float32
        cuts = sorted(dice.randrange(count + 1) for _ in range(dice.choice([0, 0, 1, 4])))
        found.append(Case(count, dtype, compress, tuple(cuts)))
    return found


def term(rank: int, case: Case) -> Array:
    """What a rank brings: the sums of floating point depend on their order."""
    noise = np.random.default_rng([rank, case.count]).standard_normal(case.count)
    return np.asarray((1000 * noise).astype(case.dtype))


def wire(case: Case) -> Callable[[Array], Array]:
    """What the wire makes of some numbers."""
    if case.carried != 2:
        return lambda numbers: numbers

    def rounded(numbers: Array) -> Array:
        way = WAYS[case.compress](max(numbers.size, 1))
        halves, values = np.empty(numbers.size, np.uint16), np.empty_like(numbers)
        way.encode(np.ascontiguousarray(numbers), halves)
        way.decode(halves, values)
        return values

    return rounded


def parts_of(case: Case, world_size: int) -> list[list[int]]:
    """The bounds of the chunks of every part."""
    edges = [0, *case.cuts, case.count]
    return [
        [start + bound for bound in chunk_bounds(end - start, world_size)]
        for start, end in pairwise(edges)
    ]


def expected(case: Case, world_size: int) -> Array:
    """The sum, in the documented order."""
    terms, found, sent = [term(rank, case) for rank in range(world_size)], term(0, case), wire(case)
    for bounds in parts_of(case, world_size):
        for chunk in range(world_size):
            part = slice(bounds[chunk], bounds[chunk + 1])
            total = terms[(chunk + 1) % world_size][part]
            for step in range(2, world_size + 1):
                total = terms[(chunk + step) % world_size][part] + sent(total)
            found[part] = sent(total)
    return found


def bytes_of(case: Case, world_size: int, rank: int) -> int:
    """What a rank sends: all chunks but r, and all but r + 1, which is 2 S (P - 1) / P."""
    return sum(
        case.carried * (bounds[chunk + 1] - bounds[chunk])
        for bounds in parts_of(case, world_size)
        for spared in (rank, (rank + 1) % world_size)
        for chunk in range(world_size)
        if chunk != spared
    )


def frames_of(case: Case, world_size: int, rank: int, segment_bytes: int) -> int:
    """In so many frames."""
    segment = segment_bytes // np.dtype(case.dtype).itemsize
    return sum(
        -((bounds[chunk] - bounds[chunk + 1]) // segment)
        for bounds in parts_of(case, world_size)
        for spared in (rank, (rank + 1) % world_size)
        for chunk in range(world_size)
        if chunk != spared
    )


def rings(*args: Any, **settings: Any) -> None:
    """Rings that must come to their end."""
    for each in plain_rings(*args, **settings):
        if isinstance(each, BaseException):
            raise each


def check(ring: RingCommunicator, case: Case, right: Array) -> None:
    """One case, twice: the bits, and the bytes."""
    for _ in range(2):
        array = term(ring.rank, case)
        before = ring.bytes_sent
        ring.allreduce(array, case.cuts, case.compress)
        np.testing.assert_array_equal(array.view(np.uint8), right.view(np.uint8), err_msg=str(case))
        assert ring.bytes_sent - before == bytes_of(case, ring.world_size, ring.rank), case


@pytest.mark.parametrize(("world_size", "segment_bytes"), RINGS)
@pytest.mark.parametrize("url", URLS, ids=scheme_of)
def test_every_sum_has_the_bits_of_the_documented_order(
    url: str, world_size: int, segment_bytes: int
) -> None:
    dice = random.Random(f"{url} {segment_bytes} {world_size}")
    crc, mac = dice.random() < 0.5, dice.random() < 0.5 and scheme_of(url) in SIGNING
    sums = [(case, expected(case, world_size)) for case in cases(world_size, segment_bytes)]

    def work(ring: RingCommunicator) -> None:
        for case, right in sums:
            check(ring, case, right)

    rings(world_size, url, work, segment_bytes=segment_bytes, crc=crc, mac=mac)


@pytest.mark.parametrize("compress", ["none", "bf16"])
@pytest.mark.parametrize("url", URLS, ids=scheme_of)
def test_large_sums_too(url: str, compress: str) -> None:
    """More than lies between two ranks: several MB, and some elements over."""
    count = 3 * 2 * SEGMENT_BYTES // 4 + 5
    case = Case(count, np.float32, compress, (count // 3,))
    right = expected(case, 3)
    mac = scheme_of(url) in SIGNING and compress == "none"
    rings(3, url, lambda ring: check(ring, case, right), segment_bytes=SEGMENT_BYTES, mac=mac)


@pytest.mark.skipif(sys.platform != "linux", reason="Linux counts the bytes of a connection")
@pytest.mark.parametrize("mac", [False, True], ids=["plain", "mac"])
@pytest.mark.parametrize("world_size", [2, 3, 5])
def test_the_kernel_counts_the_same_bytes(world_size: int, mac: bool) -> None:
    """Of TCP, with headers: what came in by the link from the left is what that rank sent."""
    segment_bytes, together = 4096, threading.Barrier(world_size, timeout=20)
    header = HEADER_SIZE + (MAC_SIZE if mac else 0)

    def work(ring: RingCommunicator) -> None:
        left: socket.socket = ring._transport._left.socket  # type: ignore[attr-defined]

        def received() -> int:
            info = left.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, 136)
            together.wait()
            return int(struct.unpack_from("Q", info, 128)[0])  # tcpi_bytes_received

        for case in cases(world_size, segment_bytes):
            together.wait()
            before = received()
            ring.allreduce(term(ring.rank, case), case.cuts, case.compress)
            together.wait()
            sender = (ring.rank - 1) % world_size
            frames = frames_of(case, world_size, sender, segment_bytes)
            wanted = bytes_of(case, world_size, sender) + header * frames
            assert received() - before == wanted, case

    rings(world_size, "tcp://127.0.0.1:0", work, segment_bytes=segment_bytes, mac=mac)
