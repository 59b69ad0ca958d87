"""Transports and frames: what arrives is what was awaited, and every failure is named in time."""

import re
import threading
import time
from collections.abc import Callable

import numpy as np
import pytest

from minicaffe.distributed.communicator import Array, Communicator
from minicaffe.distributed.frames import (
    CHECKED,
    HEADER_SIZE,
    Frame,
    Kind,
    check_header,
    check_payload,
    describe,
    make_frame,
    seal,
)
from minicaffe.distributed.rendezvous import ThreadRendezvous, connect
from minicaffe.distributed.transport import known_schemes, missing, open_transport
from minicaffe.errors import CommunicationError
from tests.ranks import SECRET, URLS, at_once, outcomes, run_ranks, scheme_of


@pytest.fixture(params=URLS, ids=scheme_of)
def url(request: pytest.FixtureRequest) -> str:
    return str(request.param)


def frame(payload: bytes = b"", number: int = 0, **fields: int) -> Frame:
    """A frame of rank 1's chunk in iteration 5, unless told otherwise."""
    usual = {"kind": Kind.ALLREDUCE, "dtype": 1, "chunk": 1, "sequence": 17, "iteration": 5}
    return make_frame(**(usual | fields), number=number, payload=memoryview(bytearray(payload)))


# --- the door ----------------------------------------------------------------------------------


def test_an_unknown_scheme_is_answered_with_the_known_ones() -> None:
    assert {"inproc", "rdma", "shm", "tcp", "unix"} <= set(known_schemes())
    with pytest.raises(
        CommunicationError, match=r"pigeon://roof.*inproc://, rdma://, shm://, tcp://, unix://"
    ):
        open_transport("pigeon://roof")
    assert missing("pigeon").startswith("there is no transport 'pigeon' (there is: ")


def test_what_a_transport_lacks_here_is_one_line_and_listening_says_it_too(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    assert missing("inproc") == missing("tcp") == ""
    monkeypatch.delattr("os.memfd_create", raising=False)
    assert missing("shm") == "memory without a name needs Linux; take unix or tcp"
    with pytest.raises(CommunicationError, match=missing("shm")):
        open_transport("shm://")


# --- frames ------------------------------------------------------------------------------------


def test_a_frame_has_a_header_of_32_bytes() -> None:
    sent = frame(b"abcd", number=3)
    header = seal(sent)
    assert (len(header), HEADER_SIZE, sent.size) == (32, 32, 36)
    expected = "4d435231010100010000000300000011000000000000000500000004"
    assert header.hex() == expected + "00000000"
    check_header(sent, header)
    assert describe(sent) == "frame 3 of allreduce 17 (iteration 5, chunk 1, 4 bytes)"


@pytest.mark.parametrize(
    ("field", "value"),
    [("kind", 2), ("dtype", 2), ("chunk", 2), ("sequence", 18), ("iteration", 6), ("number", 1)],
)
def test_a_header_out_of_turn_is_named_field_by_field(field: str, value: int) -> None:
    with pytest.raises(CommunicationError, match=f"out of turn: {field} {value} instead of"):
        check_header(frame(), seal(frame(**{field: value})))


def test_a_length_out_of_turn_is_named() -> None:
    with pytest.raises(CommunicationError, match="length 4294967295 instead of 4"):
        check_header(frame(b"abcd"), seal(frame(b"abcd"))[:24] + b"\xff" * 4 + bytes(4))


def test_what_is_no_frame_is_shown() -> None:
    with pytest.raises(CommunicationError, match=r"no frame: it begins with b'GET / HT'"):
        check_header(frame(), b"GET / HTTP/1.0\r\nHost: minicaffe\r\n"[:32])


def test_every_flipped_bit_of_a_checked_frame_is_found() -> None:
    awaited = frame(b"12345678", kind=Kind.ALLREDUCE | CHECKED)
    wire = bytearray(seal(awaited) + awaited.payload)
    for bit in range(8 * len(wire)):
        damaged = bytearray(wire)
        damaged[bit // 8] ^= 1 << bit % 8
        received = Frame(awaited.header, memoryview(damaged)[HEADER_SIZE:])
        with pytest.raises(CommunicationError, match="out of turn|no frame|damaged payload"):
            check_header(received, damaged[:HEADER_SIZE])
            check_payload(received, damaged[:HEADER_SIZE])


# --- failures ----------------------------------------------------------------------------------


def ones(count: int = 100_000) -> Array:
    return np.ones(count, np.float32)


def test_a_silent_rank_is_named_in_time(url: str) -> None:
    done = threading.Event()

    def work(ring: Communicator) -> None:
        if ring.rank == 1:
            done.wait(20)
        try:
            ring.allreduce(ones())
        finally:
            done.set()

    began = time.monotonic()
    errors = outcomes(2, work, url, timeout=0.5)
    assert time.monotonic() - began < 10
    assert all(isinstance(error, CommunicationError) for error in errors), errors
    assert str(errors[0]).startswith("rank 0: rank 1")
    assert "is silent; awaiting frame 0 of allreduce 0 (iteration 0, chunk 0" in str(errors[0])
    waited = re.search(r"for (\d+\.\d) s$", str(errors[0]))
    assert waited is not None and float(waited[1]) >= 0.5


@pytest.mark.parametrize("world_size", [2, 3, 4, 7])
def test_when_a_rank_dies_all_others_hear_of_it(url: str, world_size: int) -> None:
    def work(ring: Communicator) -> None:
        ring.allreduce(ones())
        if ring.rank == 1:
            raise KeyError("the body of a rank fails")
        ring.allreduce(ones())

    began = time.monotonic()
    errors = outcomes(world_size, work, url, timeout=60.0)
    assert time.monotonic() - began < 20
    assert isinstance(errors.pop(1), KeyError)
    assert all(isinstance(error, CommunicationError) for error in errors), errors


def test_a_rank_that_dies_within_a_collective_ends_it(url: str) -> None:
    """It sends a first part of what the others await, and closes."""

    class Death(BaseException):
        pass

    def work(ring: Communicator) -> None:
        if ring.rank == 2:
            transport = ring._transport  # type: ignore[attr-defined]
            usual = transport.sendrecv

            def sendrecv(*args: object) -> object:
                for arrived in usual(*args):
                    if arrived == 3:
                        raise Death
                    yield arrived

            transport.sendrecv = sendrecv
        ring.allreduce(ones(2_000_000))

    errors = outcomes(4, work, url)
    assert isinstance(errors.pop(2), Death)
    assert all(isinstance(error, CommunicationError) for error in errors), errors


def test_after_an_error_a_ring_is_of_no_use(url: str) -> None:
    def work(ring: Communicator) -> str:
        if ring.rank == 0:
            ring.close()
        for _ in range(2):
            with pytest.raises(CommunicationError):
                ring.allreduce(ones())
        ring.close()
        return "closed"

    assert run_ranks(3, work, url) == ["closed"] * 3


def test_closing_wakes_who_waits(url: str) -> None:
    def work(ring: Communicator) -> None:
        if ring.rank == 0:
            threading.Timer(0.2, ring.close).start()
        else:
            with pytest.raises(CommunicationError):
                ring.broadcast(ones(), root=0)
            return
        with pytest.raises(CommunicationError):
            ring.broadcast(ones(), root=1)

    run_ranks(2, work, url)


def other_iteration(ring: Communicator) -> None:
    ring.iteration = 7 if ring.rank == 1 else 8
    ring.allreduce(ones())


def other_count(ring: Communicator) -> None:
    ring.allreduce(ones(10 if ring.rank == 1 else 12))


def other_type(ring: Communicator) -> None:
    ring.allreduce(ones().astype(np.int64 if ring.rank == 1 else np.float64))


def other_collective(ring: Communicator) -> None:
    if ring.rank == 1:
        ring.reduce_scatter(ones())
    else:
        ring.allreduce(ones())


def one_more(ring: Communicator) -> None:
    if ring.rank == 1:
        ring.broadcast(ones(0), root=1)
    ring.allreduce(ones())


DISAGREEMENTS: dict[str, Callable[[Communicator], None]] = {
    "iteration 7 instead of 8": other_iteration,
    "length 20 instead of 24": other_count,
    "dtype 3 instead of 2": other_type,
    "kind 2 instead of 1": other_collective,
    "sequence 1 instead of 0": one_more,
}


@pytest.mark.parametrize("words", DISAGREEMENTS)
def test_ranks_that_disagree_never_mix(url: str, words: str) -> None:
    errors = outcomes(2, DISAGREEMENTS[words], url)
    assert all(isinstance(error, CommunicationError) for error in errors), errors
    assert words in str(errors[0])


def test_ranks_that_disagree_about_the_crc_never_mix(url: str) -> None:
    meeting = ThreadRendezvous.of(2)

    def call(rank: int) -> None:
        crc = rank == 1
        with connect(meeting[rank], rank, 2, url, secret=SECRET, timeout=20, crc=crc) as ring:
            ring.allreduce(ones())

    errors = at_once([lambda: call(0), lambda: call(1)])
    assert "kind 129 instead of 1" in str(errors[0])
