"""Signed frames: what is altered, replayed, left out or put in on its way is found and named."""

import re
import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import replace

import numpy as np
import pytest

from minicaffe.distributed.auth import Half, Member, dialer, listener
from minicaffe.distributed.communicator import Array, Communicator
from minicaffe.distributed.frames import HEADER_SIZE, MAC_SIZE, Frame, Kind, Signature, make_frame
from minicaffe.distributed.rendezvous import connect
from minicaffe.distributed.transport import shm
from minicaffe.distributed.transport._stream import Incoming, Outgoing
from minicaffe.errors import CommunicationError
from tests.ranks import SECRET, URLS, at_once, outcomes, run_ranks, scheme_of

ME = Member(rank=1, world_size=3, generation=4, run="test", secret=SECRET, signed=True)
WIRED = [url for url in URLS if scheme_of(url) in ("tcp", "unix", "shm")]
KEY = b"k" * 32


def frame(content: bytes, number: int = 0) -> Frame:
    return make_frame(Kind.ALLREDUCE, 4, 1, number, 17, 5, memoryview(bytearray(content)))


def on_the_wire(contents: list[bytes], key: bytes = KEY) -> list[bytes]:
    """What a sender makes of these payloads, frame by frame."""
    here, there = socket.socketpair()
    with here, there:
        link = Outgoing(here, 1)
        link.sign(key)
        sent = []
        for number, content in enumerate(contents):
            assert link.push(frame(content, number))
            sent.append(there.recv(1 << 16))
    return sent


def received(wire: bytes, contents: list[bytes]) -> list[bytes]:
    """What a receiver that awaits frames of these lengths takes in. Raises CommunicationError."""
    here, there = socket.socketpair()
    with here, there:
        there.sendall(wire)
        there.shutdown(socket.SHUT_WR)
        link = Incoming(here, 0)
        link.sign(KEY)
        found = []
        for number, content in enumerate(contents):
            awaited = frame(bytes(len(content)), number)
            assert link.pull(awaited)
            found.append(bytes(awaited.payload))
    return found


def test_signed_frames_arrive() -> None:
    contents = [b"first", b"", b"third" * 1000]
    wire = on_the_wire(contents)
    assert [len(each) for each in wire] == [HEADER_SIZE + MAC_SIZE + len(each) for each in contents]
    assert received(b"".join(wire), contents) == contents


def test_every_flipped_bit_is_found() -> None:
    (wire,) = on_the_wire([b"12345678"])
    for bit in range(8 * len(wire)):
        damaged = bytearray(wire)
        damaged[bit // 8] ^= 1 << bit % 8
        with pytest.raises(CommunicationError, match="rank 0 .* sent (a frame|no frame)"):
            received(bytes(damaged), [b"12345678"])


def rewritten(wire: list[bytes]) -> bytes:
    """The header of the second frame before the payload of the first one, with the first's MAC."""
    return wire[0] + wire[1][:HEADER_SIZE] + wire[0][HEADER_SIZE:]


FORGERIES: dict[str, Callable[[list[bytes]], bytes]] = {
    "replayed": lambda wire: wire[0] + wire[0],
    "in another order": lambda wire: wire[1] + wire[0],
    "left out": lambda wire: wire[1],
    "replayed under a new number": rewritten,
    "of another key": lambda wire: b"".join(on_the_wire([b"one!", b"two!"], b"x" * 32)),
    "without a MAC": lambda wire: b"".join(
        each[:HEADER_SIZE] + each[HEADER_SIZE + MAC_SIZE :] for each in wire
    ),
}


@pytest.mark.parametrize("forgery", FORGERIES)
def test_what_is_put_in_by_somebody_else_is_found(forgery: str) -> None:
    contents = [b"one!", b"two!"]
    with pytest.raises(CommunicationError, match="rank 0 .* (wrong MAC|out of turn|closed)"):
        received(FORGERIES[forgery](on_the_wire(contents)), contents)


def test_a_frame_counts_where_it_stands_even_if_its_header_is_the_same() -> None:
    """So a recording is of no use when the numbers of collectives begin again at 0."""
    signature = Signature(KEY)
    payload = memoryview(b"gradients")
    assert signature.next(bytes(32), payload) != signature.next(bytes(32), payload)


# --- keys ----------------------------------------------------------------------------------------


def keys_of(dialing: Half, listening: Half) -> tuple[bytes, bytes]:
    """What the two halves of a handshake return."""
    ends: list[bytes] = []
    said, _ = next(listening)
    next(dialing)
    try:
        answer, _ = dialing.send(said)
        listening.send(answer[: len(said) - 32])
        proof, _ = listening.send(answer[len(said) - 32 :])
        with pytest.raises(StopIteration) as end:
            listening.send(b"")
        ends.append(end.value.value)
        dialing.send(proof)
    except StopIteration as end_of_dialer:
        ends.append(end_of_dialer.value)
    return ends[1], ends[0]


def test_the_key_of_a_link_is_its_own() -> None:
    """Of every link, direction, generation and talk, and known to both of its ends."""
    found = []
    for generation in (4, 4, 5):
        for left in range(3):
            here = replace(ME, rank=left, generation=generation)
            one, other = keys_of(dialer(here), listener(replace(here, rank=here.right)))
            assert one == other
            found.append(one)
    assert len(set(found)) == len(found) == 9
    assert {len(key) for key in found} == {32}


# --- rings ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("url", WIRED, ids=scheme_of)
@pytest.mark.parametrize("world_size", [2, 3])
def test_a_signed_ring_gives_the_same_bits(url: str, world_size: int) -> None:
    def work(ring: Communicator) -> list[Array]:
        arrays = [np.random.default_rng(ring.rank).random(count) for count in (0, 1, 5, 300_001)]
        for array in arrays:
            ring.allreduce(array)
        ring.barrier()
        return arrays

    signed = run_ranks(world_size, work, url, mac=True, crc=True)
    plain = run_ranks(world_size, work, url)
    for arrays in signed:
        for array, expected in zip(arrays, plain[0], strict=True):
            np.testing.assert_array_equal(array, expected)


def test_threads_have_no_wire_to_sign() -> None:
    for error in outcomes(2, lambda ring: ring.barrier(), "inproc://test", mac=True):
        assert isinstance(error, CommunicationError)
        assert "frames of one process are not signed; take tcp" in str(error)


class Between:
    """Somebody between two ranks, who passes all on but changes one byte behind the handshake."""

    def __init__(self, to: str, at: int) -> None:
        self._to = int(to.rpartition(":")[2])
        self._at = at
        self._door = socket.create_server(("127.0.0.1", 0))
        self.address = f"tcp://127.0.0.1:{self._door.getsockname()[1]}"
        self._threads = [threading.Thread(target=self._serve)]
        self._threads[0].start()

    def _serve(self) -> None:
        left, _ = self._door.accept()
        right = socket.create_connection(("127.0.0.1", self._to))
        back = threading.Thread(target=self._pass, args=(right, left, 0))
        back.start()
        self._pass(left, right, self._at)
        back.join()
        for each in (left, right, self._door):
            each.close()

    def _pass(self, source: socket.socket, target: socket.socket, at: int) -> None:
        passed = 0
        try:
            while content := bytearray(source.recv(1 << 16)):
                if passed <= at < passed + len(content) and at:
                    content[at - passed] ^= 1
                passed += len(content)
                target.sendall(content)
            target.shutdown(socket.SHUT_WR)
        except OSError:
            pass

    def close(self) -> None:
        """Wait for its end."""
        self._threads[0].join(20)


@pytest.fixture
def at_end() -> Iterator[ExitStack]:
    with ExitStack() as stack:
        yield stack


def test_a_gradient_that_somebody_changes_on_its_way_is_found(at_end: ExitStack) -> None:
    """Without a MAC he has his will; with one both ranks stop, and the error names the link."""
    board: dict[int, str] = {}
    come = threading.Barrier(2)

    class Meeting:
        def __init__(self, rank: int) -> None:
            self._rank = rank

        def allgather(self, address: str) -> list[str]:
            board[self._rank] = address
            if come.wait(20) == 0:
                between = Between(board[1], 40_000)
                at_end.callback(between.close)
                board[1] = between.address
            come.wait(20)
            return [board[0], board[1]]

    def call(rank: int, mac: bool) -> Array:
        url, settings = "tcp://127.0.0.1:0", {"secret": SECRET, "timeout": 20.0}
        with connect(Meeting(rank), rank, 2, url, mac=mac, **settings) as ring:  # type: ignore[arg-type]
            array = np.ones(100_000, np.float32)
            ring.allreduce(array)
            return array

    sums = at_once([lambda: call(0, False), lambda: call(1, False)])
    assert all(np.count_nonzero(array != 2) == 1 for array in sums)
    errors = at_once([lambda: call(0, True), lambda: call(1, True)])
    assert all(isinstance(error, CommunicationError) for error in errors), errors
    assert re.search(r"rank 1: rank 0 at .* sent a frame with a wrong MAC", str(errors[1]))


def test_a_signed_frame_in_shared_memory_is_checked(at_end: ExitStack) -> None:
    here, there = socket.socketpair()
    at_end.callback(here.close)
    at_end.callback(there.close)
    writer, reader = shm._Writer(here, 1), shm._Reader(there, 0)
    for link in (writer, reader):
        link.sign(KEY)
    content = b"x" * (shm.INLINE + 4)
    assert writer.push(frame(content))
    assert reader.pull(frame(content))
    assert writer.push(frame(content, 1))
    assert writer._ring is not None
    writer._ring[2 * shm.INLINE] ^= 1
    with pytest.raises(CommunicationError, match="rank 0 .* sent a frame with a wrong MAC"):
        reader.pull(frame(content, 1))
