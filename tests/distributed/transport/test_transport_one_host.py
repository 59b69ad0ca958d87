"""unix:// and shm://: the ranks of one host, their addresses, and the memory that two share."""

import os
import socket
import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from minicaffe.distributed.auth import Member
from minicaffe.distributed.communicator import Communicator
from minicaffe.distributed.frames import Frame, Kind, make_frame
from minicaffe.distributed.same_host import host_id
from minicaffe.distributed.transport import open_transport, shm, unix
from minicaffe.distributed.transport._stream import StreamTransport
from minicaffe.errors import CommunicationError
from tests.ranks import SECRET, run_ranks

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="memory without a name is Linux's")

ME = Member(rank=0, world_size=2, secret=SECRET)


@pytest.fixture
def pair() -> Iterator[tuple[socket.socket, socket.socket]]:
    both = socket.socketpair()
    yield both
    for each in both:
        each.close()


def frame(payload: bytes | bytearray, number: int = 0) -> Frame:
    return make_frame(Kind.ALLREDUCE, 4, 0, number, 0, 0, memoryview(payload))


# --- addresses -----------------------------------------------------------------------------------


def test_processes_without_a_network_card_are_of_one_host(monkeypatch):
    identity = host_id.__wrapped__
    monkeypatch.setattr("uuid.getnode", lambda: 0x0200_0000_0001)
    with_a_card = identity()
    drawn = []
    for number in (0x0100_0000_0001, 0x0100_0000_0002):  # each process draws its own
        monkeypatch.setattr("uuid.getnode", lambda number=number: number)
        drawn.append(identity())
    assert drawn[0] == drawn[1] != with_a_card


@pytest.mark.parametrize("scheme", ["unix", "shm"])
def test_an_address_of_another_host_is_refused_at_once(scheme: str) -> None:
    door = open_transport(f"{scheme}://127.0.0.1:0")
    there = door.address.replace(host_id(), "0123456789abcdef")
    with pytest.raises(CommunicationError, match=f"on another host: {scheme} joins ranks of one"):
        door.join(there, ME, timeout=20, handshake_timeout=5)
    door.close()


def test_a_name_leaves_no_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    run_ranks(2, lambda ring: ring.barrier(), "unix://")
    assert list(tmp_path.iterdir()) == []


def test_elsewhere_it_is_a_file_and_goes_with_the_ring(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    monkeypatch.setattr(unix.sys, "platform", "darwin")
    door = open_transport("unix://")
    assert len(list(tmp_path.iterdir())) == 1
    door.close()
    assert list(tmp_path.iterdir()) == []
    run_ranks(3, lambda ring: ring.barrier(), "unix://")
    assert list(tmp_path.iterdir()) == []


# --- shared memory -------------------------------------------------------------------------------


@pytest.mark.parametrize("size", [shm.CAPACITY - 1, shm.CAPACITY * 2 + 4099])
def test_what_is_larger_than_the_memory_between_them(size: int) -> None:
    def work(ring: Communicator) -> bool:
        count = size // 8
        array = np.arange(count, dtype=np.float64) * (ring.rank + 1)
        for _ in range(3):  # the ring of bytes begins elsewhere each time
            array = array.copy()
            ring.allreduce(array)
        return bool((array == np.arange(count) * 3.0 * 4).all())

    assert run_ranks(2, work, "shm://") == [True, True]


def test_it_leaves_nothing_behind() -> None:
    def shared() -> list[str]:
        return os.listdir("/dev/shm") if os.path.isdir("/dev/shm") else []

    def open_files() -> int:
        return len(os.listdir("/proc/self/fd"))

    run_ranks(2, lambda ring: ring.allreduce(np.ones(1000)), "shm://")
    names, files = shared(), open_files()
    for _ in range(5):
        run_ranks(3, lambda ring: ring.allreduce(np.ones(1000)), "shm://")
    assert shared() == names
    assert open_files() <= files


def transport_of(left: socket.socket) -> tuple[StreamTransport, socket.socket]:
    """A reader of `left`, whose right neighbour says nothing."""
    right, other = socket.socketpair()
    return StreamTransport(ME, shm._Writer(right, 1), shm._Reader(left, 1), timeout=5), other


@pytest.mark.parametrize(
    ("size", "seals", "count", "message"),
    [
        (shm.CAPACITY, 0, 40, "shares memory of another size, or unsealed"),
        (4096, shm.SEALS, 40, "shares memory of another size, or unsealed"),
        (shm.CAPACITY, shm.SEALS, shm.CAPACITY + 1, "has written 4194305 bytes, 0 are read"),
    ],
)
def test_a_neighbour_that_does_not_keep_the_rules(
    pair: tuple[socket.socket, socket.socket], size: int, seals: int, count: int, message: str
) -> None:
    mine, theirs = pair
    transport, other = transport_of(mine)
    number = os.memfd_create("test", os.MFD_ALLOW_SEALING)
    os.ftruncate(number, size)
    if seals:
        shm.fcntl.fcntl(number, shm.ADD_SEALS, seals)
    socket.send_fds(theirs, [bytes(8)], [number])
    theirs.send(shm._COUNT.pack(count))
    os.close(number)
    with pytest.raises(CommunicationError, match=message):
        next(transport.sendrecv([], [frame(bytearray(shm.INLINE + 4))], 0))
    transport.close()
    other.close()


@pytest.mark.parametrize("every", [1, 7, 5000], ids=["large", "some large", "small"])
def test_frames_of_all_sizes_wait_for_a_slow_reader(
    pair: tuple[socket.socket, socket.socket], every: int
) -> None:
    """More than the socket or the memory holds: nothing is lost, and nothing is taken for news."""
    mine, theirs = pair
    writer, reader = shm._Writer(mine, 1), shm._Reader(theirs, 0)
    sizes = [shm.INLINE + 4 if number % every == 0 else 4 for number in range(1000)]
    frames = [frame(number.to_bytes(4, "big") * (size // 4), number)
              for number, size in enumerate(sizes)]  # fmt: skip
    sent = received = 0
    while received < len(frames):
        while sent < len(frames) and writer.push(frames[sent]):
            sent += 1
        while received < len(frames):
            target = bytearray(sizes[received])
            awaited = frame(target, received)
            while not reader.pull(awaited):
                while sent < len(frames) and writer.push(frames[sent]):
                    sent += 1
            assert target == frames[received].payload
            received += 1
