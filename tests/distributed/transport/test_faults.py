"""What goes wrong between two ranks, on every transport: named, in time, and nothing left open."""

import re
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from minicaffe.distributed.frames import Frame, Kind, make_frame, seal
from minicaffe.distributed.rendezvous import ThreadRendezvous, connect
from minicaffe.distributed.ring import RingCommunicator
from minicaffe.errors import CommunicationError
from tests.ranks import SECRET, URLS, at_once, scheme_of
from tests.wires import nothing_left, plain_rings

WIRED = [url for url in URLS if scheme_of(url) in ("tcp", "unix", "shm")]


@pytest.fixture(params=WIRED, ids=scheme_of)
def url(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[str]:
    with nothing_left(tmp_path):
        yield str(request.param)


# --- another process -----------------------------------------------------------------------------

NEIGHBOUR = """
import os, signal, sys, threading
import numpy as np
from minicaffe.distributed.rendezvous import connect

class Pipes:
    def allgather(self, address):
        print(address, flush=True)
        return [sys.stdin.readline().strip(), address]

url, fault, count = sys.argv[1], int(sys.argv[2]), int(sys.argv[3])
ring = connect(Pipes(), 1, 2, url, secret=b"s")
ring.barrier()
threading.Timer(0.1, os.kill, (os.getpid(), fault)).start()
while True:
    ring.allreduce(np.ones(count, np.float32))
"""


class Neighbour:
    """Rank 1 of two, a process of its own, which a signal ends or stops within an allreduce."""

    def __init__(self, url: str, fault: int, count: int, checkout: Path) -> None:
        command = [sys.executable, "-c", NEIGHBOUR, url, str(int(fault)), str(count)]
        pipe = subprocess.PIPE
        self._child = subprocess.Popen(command, stdin=pipe, stdout=pipe, text=True, cwd=checkout)

    def allgather(self, address: str) -> list[str]:
        """The rendezvous of rank 0 with it."""
        assert self._child.stdin is not None and self._child.stdout is not None
        theirs = self._child.stdout.readline().strip()
        self._child.stdin.write(address + "\n")
        self._child.stdin.flush()
        return [address, theirs]

    def close(self) -> None:
        """End it."""
        self._child.kill()
        self._child.communicate()


@pytest.mark.parametrize("count", [100, 1_000_000], ids=["small", "large"])
@pytest.mark.parametrize(
    ("fault", "timeout", "words"),
    [
        (signal.SIGKILL, 60.0, r"rank 1 .*closed the link|the link (to|from) rank 1 .* broke"),
        (signal.SIGSTOP, 0.5, r"rank 1 .*is silent"),
    ],
    ids=["killed", "stopped"],
)
def test_a_process_that_is_killed_or_stopped_is_named(
    url: str, fault: int, timeout: float, words: str, count: int, checkout: Path
) -> None:
    child = Neighbour(url, fault, count, checkout)
    try:
        with connect(child, 0, 2, url, secret=b"s", timeout=timeout) as ring:
            ring.barrier()
            with pytest.raises(CommunicationError, match=f"^rank 0: .*({words})"):
                while True:
                    ring.allreduce(np.ones(count, np.float32))
    finally:
        child.close()


# --- a neighbour that does not keep the rules ----------------------------------------------------


def awaited(length: int = 200, **fields: int) -> Frame:
    """What rank 0 of two awaits first in an allreduce of 100 float32, unless told otherwise."""
    usual = {"kind": Kind.ALLREDUCE, "dtype": 1, "chunk": 0, "number": 0}
    usual |= {"sequence": 0, "iteration": 0}
    return make_frame(**(usual | fields), payload=memoryview(bytes(length)))


def wire(frame: Frame) -> bytes:
    return seal(frame) + bytes(frame.payload)


NONSENSE: dict[str, tuple[bytes, str]] = {
    "garbage": (
        b"GET / HTTP/1.0\r\nHost: somewhere\r\n\r\n",
        "sent no frame: it begins with b'GET",
    ),
    "garbage behind the magic": (b"MCR1" + b"\xff" * 300, "sent a frame out of turn: kind 255"),
    "half a header": (wire(awaited())[:20], "closed the link"),
    "half a payload": (wire(awaited())[:100], "closed the link"),
    "nothing": (b"", "closed the link"),
    "shorter": (wire(awaited(196)), "length 196 instead of 200"),
    "longer": (wire(awaited(204)), "length 204 instead of 200"),
    "endless": (wire(awaited())[:24] + b"\xff" * 300, "length 4294967295 instead of 200"),
    "of before": (wire(awaited(sequence=2**32 - 1)), "sequence 4294967295 instead of 0"),
    "twice": (2 * wire(awaited()), "number 0 instead of 1"),
}


def play(url: str, sent: bytes, *, leaves: bool, timeout: float) -> CommunicationError:
    """What rank 0 says of a rank 1 that sends these bytes, and goes or stays; it must be quick."""

    def work(ring: RingCommunicator) -> None:
        if ring.rank == 0:
            ring.allreduce(np.ones(100, np.float32))
            return
        links: Any = ring._transport
        right: socket.socket = links._right.socket
        right.setblocking(True)
        right.sendall(sent)
        if leaves:
            right.shutdown(socket.SHUT_WR)
        links._left.socket.settimeout(20)
        while links._left.socket.recv(1 << 16):  # until rank 0 has had enough
            pass

    began = time.monotonic()
    error, _ = plain_rings(2, url, work, timeout=timeout)
    assert time.monotonic() - began < 10
    assert isinstance(error, CommunicationError), error
    return error


@pytest.mark.parametrize("nonsense", NONSENSE)
def test_a_neighbour_that_sends_nonsense_is_named(url: str, nonsense: str) -> None:
    sent, words = NONSENSE[nonsense]
    error = play(url, sent, leaves=True, timeout=60)
    assert re.match(r"rank 0: (the link from )?rank 1 (at|of)", str(error)), error
    assert words in str(error)
    assert "awaiting frame" in str(error)


@pytest.mark.parametrize("sent", [0, 20, 100], ids=["nothing", "half a header", "half a payload"])
def test_a_neighbour_that_stops_within_a_frame_is_named(url: str, sent: int) -> None:
    error = play(url, wire(awaited())[:sent], leaves=False, timeout=0.4)
    assert re.match(r"rank 0: rank 1 .* is silent; awaiting frame 0 of allreduce 0", str(error))


def test_a_neighbour_that_does_not_read_is_named(url: str) -> None:
    def work(ring: RingCommunicator) -> None:
        if ring.rank == 0:
            ring.broadcast(np.ones(10_000_000, np.float32), root=0)
        else:
            left: socket.socket = ring._transport._left.socket  # type: ignore[attr-defined]
            right: socket.socket = ring._transport._right.socket  # type: ignore[attr-defined]
            right.settimeout(20)
            assert not right.recv(1)  # until rank 0 has had enough
            assert left.fileno() >= 0

    error, other = plain_rings(2, url, work, timeout=0.5)
    assert other is None
    assert re.match(r"rank 0: rank 1 .* is silent; sending", str(error)), error


# --- who is no neighbour -------------------------------------------------------------------------

STRANGERS: dict[str, dict[str, Any]] = {
    "generation": {"generation": 3},
    "secret": {"secret": b"guessed"},
    "run": {"run": "another"},
    "mac": {"mac": True},
}


@pytest.mark.parametrize("stranger", STRANGERS)
def test_ranks_of_two_rings_form_none(url: str, stranger: str) -> None:
    meeting = ThreadRendezvous.of(2)

    def call(rank: int) -> Callable[[], None]:
        other = STRANGERS[stranger] if rank == 1 else {}
        settings = {"secret": SECRET, "timeout": 2.0, **other}

        def join() -> None:
            connect(meeting[rank], rank, 2, url, **settings).close()

        return join

    errors = at_once([call(0), call(1)])
    for rank, error in enumerate(errors):
        assert isinstance(error, CommunicationError), error
        assert f"rank {1 - rank}" in str(error), error
