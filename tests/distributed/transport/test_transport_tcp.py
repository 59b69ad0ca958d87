"""The door of a TCP ring: neighbours prove who they are, strangers go away and delay nobody."""

import re
import socket
import struct
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from minicaffe.distributed.auth import MAGIC, Half, Member, Refused, dialer, listener, new_secret
from minicaffe.distributed.handshake import Conversation
from minicaffe.distributed.rendezvous import FixedRendezvous, connect
from minicaffe.distributed.ring import RingCommunicator
from minicaffe.distributed.transport import open_transport
from minicaffe.distributed.transport._stream import StreamListener
from minicaffe.errors import CommunicationError
from tests.ranks import SECRET, at_once, run_ranks

HERE = "tcp://127.0.0.1:0"
ME = Member(rank=1, world_size=2, generation=4, run="test", secret=SECRET)
NEIGHBOUR = replace(ME, rank=0)


def port_of(address: str) -> int:
    return int(address.rpartition(":")[2])


def call_at(address: str) -> socket.socket:
    """A stranger's connection."""
    return socket.create_connection(("127.0.0.1", port_of(address)), timeout=10)


def talk(sock: socket.socket, half: Half) -> None:
    """One half of a handshake."""
    Conversation(sock, half, "the other side", time.monotonic() + 10).finish()


class Door:
    """A rank that waits for its left neighbour; its right one is played by the test."""

    def __init__(self, handshake_timeout: float, timeout: float = 20) -> None:
        self.listener = open_transport(HERE)
        assert isinstance(self.listener, StreamListener)
        self._right = socket.create_server(("127.0.0.1", 0))
        self._settings = f"tcp://127.0.0.1:{self._right.getsockname()[1]}", ME, timeout
        self._patience = handshake_timeout
        self._thread = threading.Thread(target=self._join)
        self.outcome: object = None

    def __enter__(self) -> "Door":
        self._thread.start()
        self._dialled, _ = self._right.accept()
        talk(self._dialled, listener(replace(ME, rank=0)))
        return self

    def _join(self) -> None:
        try:
            self.outcome = self.listener.join(*self._settings, self._patience)
        except CommunicationError as error:
            self.outcome = error

    def neighbour(self) -> RingCommunicator:
        """The ring of the listening rank, once the legitimate neighbour has come."""
        self._left = call_at(self.listener.address)
        talk(self._left, dialer(NEIGHBOUR))
        self._thread.join(10)
        assert not isinstance(self.outcome, BaseException | None), self.outcome
        return RingCommunicator(self.outcome, 1, 2)  # type: ignore[arg-type]

    def __exit__(self, *args: object) -> None:
        with ExitStack() as stack:
            stack.callback(self._right.close)
            stack.callback(self._dialled.close)
            stack.callback(self._thread.join, 20)
            if hasattr(self, "_left"):
                stack.callback(self._left.close)
            if not isinstance(self.outcome, BaseException | None):
                stack.callback(self.outcome.close)  # type: ignore[attr-defined]
        self.listener.close()


@pytest.fixture
def door() -> Iterator[Door]:
    with Door(handshake_timeout=0.5) as opened:
        yield opened


def is_closed(sock: socket.socket) -> bool:
    """Whether the other side hangs up, within the socket's timeout."""
    try:
        while sock.recv(1000):
            pass
    except ConnectionError:
        pass
    return True


# --- strangers ---------------------------------------------------------------------------------


def with_member(member: Member) -> Callable[[socket.socket], None]:
    def speak(sock: socket.socket) -> None:
        with pytest.raises(Refused, match="hung up|broke"):
            talk(sock, dialer(member))

    return speak


def shorter(sock: socket.socket) -> None:
    sock.sendall(MAGIC[:5])
    sock.shutdown(socket.SHUT_WR)


def reset(sock: socket.socket) -> None:
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    sock.close()


STRANGERS: dict[str, tuple[str, Callable[[socket.socket], None]]] = {
    "garbage": (
        "protocol",
        lambda sock: sock.sendall(b"GET / HTTP/1.0\r\nHost: somewhere\r\n\r\n"),
    ),
    "zeros": ("protocol", lambda sock: sock.sendall(bytes(100_000))),
    "garbage after the magic": ("secret", lambda sock: sock.sendall(MAGIC + bytes(1000))),
    "end": ("hung up", shorter),
    "wrong secret": ("secret", with_member(replace(NEIGHBOUR, secret=b"guessed"))),
    "wrong run": ("secret", with_member(replace(NEIGHBOUR, run="another"))),
    "old generation": ("generation 3", with_member(replace(NEIGHBOUR, generation=3))),
    "wrong rank": ("rank 1", with_member(ME)),
    "wrong world size": ("world size 3", with_member(replace(NEIGHBOUR, world_size=3))),
}


@pytest.mark.parametrize("stranger", STRANGERS)
def test_a_stranger_is_refused_at_once(
    door: Door, stranger: str, caplog: pytest.LogCaptureFixture
) -> None:
    reason, speak = STRANGERS[stranger]
    began = time.monotonic()
    with call_at(door.listener.address) as sock:
        speak(sock)
        assert is_closed(sock)
    assert time.monotonic() - began < 5
    door.neighbour()
    assert door.listener.refused == 1
    assert reason in caplog.text
    assert SECRET.decode() not in caplog.text


def test_a_stranger_who_says_nothing_is_refused_in_time(door: Door) -> None:
    with call_at(door.listener.address) as silent:
        challenge = silent.recv(1000)
        assert challenge.startswith(MAGIC)
        assert is_closed(silent)
    door.neighbour()
    assert door.listener.refused == 1


def test_many_strangers_do_not_keep_the_neighbour_waiting(caplog: pytest.LogCaptureFixture) -> None:
    with Door(handshake_timeout=20) as door, ExitStack() as stack:
        for number in range(100):
            sock = stack.enter_context(call_at(door.listener.address))
            if number % 3 == 0:
                sock.sendall(b"\x16\x03\x01" * 20)
            elif number % 3 == 1:
                reset(sock)
        began = time.monotonic()
        door.neighbour()
        assert time.monotonic() - began < 5
        assert len(caplog.records) <= 1


def test_more_strangers_than_places_are_let_go(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("minicaffe.distributed.handshake.MAX_GUESTS", 5)
    with Door(handshake_timeout=0.3) as door, ExitStack() as stack:
        for _ in range(12):
            stack.enter_context(call_at(door.listener.address))
        door.neighbour()
        assert door.listener.refused >= 5


def test_a_recorded_handshake_is_of_no_use(door: Door) -> None:
    """What the neighbour said the first time is refused by another listener of the same rank."""
    said: list[bytes] = []

    class Recorder:
        def __init__(self, sock: socket.socket) -> None:
            self._sock = sock

        def __getattr__(self, name: str) -> object:
            return getattr(self._sock, name)

        def send(self, data: bytes) -> int:
            said.append(data)
            return self._sock.send(data)

    with call_at(door.listener.address) as sock:
        talk(Recorder(sock), dialer(NEIGHBOUR))  # type: ignore[arg-type]
    with Door(handshake_timeout=0.5) as again:
        with call_at(again.listener.address) as sock:
            sock.sendall(b"".join(said))
            assert is_closed(sock)
        again.neighbour()
        assert again.listener.refused == 1


def test_nobody_can_connect_while_the_ring_works(door: Door) -> None:
    door.neighbour()
    with pytest.raises(ConnectionRefusedError):
        call_at(door.listener.address)


def test_strangers_at_every_door_do_not_disturb_a_ring() -> None:
    """Every rank is knocked at from the moment it listens; the sums are right all the same."""

    class Knocking:
        def __init__(self, inner: FixedRendezvous) -> None:
            self._inner = inner

        def allgather(self, address: str) -> list[str]:
            for each in self._inner.allgather(address):
                for words in (b"SSH-2.0-stranger\r\n", b"", MAGIC):
                    try:
                        sock = call_at(each)
                    except ConnectionRefusedError:
                        continue  # the rank has its neighbour already, or is not there yet
                    sock.send(words)
                    knocks.append(sock)
            return self._inner.allgather(address)

    knocks: list[socket.socket] = []
    addresses = [f"tcp://127.0.0.1:{port}" for port in free_ports(3)]

    def call(rank: int) -> float:
        meeting = Knocking(FixedRendezvous(addresses))
        with connect(meeting, rank, 3, addresses[rank], secret=SECRET, timeout=20) as ring:
            array = np.full(1000, rank + 1, np.float32)
            ring.allreduce(array)
            return float(array.mean())

    try:
        assert at_once([lambda rank=rank: call(rank) for rank in range(3)]) == [6.0] * 3
        assert knocks
    finally:
        for sock in knocks:
            sock.close()


def free_ports(count: int) -> list[int]:
    with ExitStack() as stack:
        servers = [
            stack.enter_context(socket.create_server(("127.0.0.1", 0))) for _ in range(count)
        ]
        return [server.getsockname()[1] for server in servers]


def test_a_conversation_ends_at_its_deadline() -> None:
    """Between two ends of one pair: both are proved, or neither; silence is no answer."""
    one, other = socket.socketpair()
    with one, other:
        began = time.monotonic()
        with pytest.raises(Refused, match="too slow"):
            Conversation(one, dialer(NEIGHBOUR), "nobody", began + 0.1).finish()
        assert time.monotonic() - began < 5
    one, other = socket.socketpair()
    with one, other:
        halves = (one, dialer(NEIGHBOUR)), (other, listener(ME))
        at_once([lambda sock=sock, half=half: talk(sock, half) for sock, half in halves])
        assert one.getblocking() and other.getblocking()


# --- dialing and listening ---------------------------------------------------------------------


def test_a_rank_listens_at_the_address_it_is_given_and_no_other() -> None:
    listening = open_transport(HERE)
    assert listening.address.startswith("tcp://127.0.0.1:")
    with pytest.raises(OSError, match="refused"):
        socket.create_connection(("127.0.0.2", port_of(listening.address)), timeout=5)
    listening.close()
    listening.close()


@pytest.mark.parametrize(
    "url",
    ["tcp://0.0.0.0:0", "tcp://[::]:0", "tcp://:0", "tcp://127.0.0.1", "tcp://127.0.0.1:port",
     "tcp://127.0.0.1:99999", "tcp://192.0.2.1:0", "tcp://no.such.host.invalid:0"],
)  # fmt: skip
def test_an_address_that_will_not_do_is_named(url: str) -> None:
    with pytest.raises(CommunicationError, match=r"tcp://"):
        open_transport(url)


def test_ranks_may_use_ipv6() -> None:
    try:
        socket.create_server(("::1", 0), family=socket.AF_INET6).close()
    except OSError:
        pytest.skip("no IPv6 here")
    found = run_ranks(2, lambda ring: ring.allgather_bytes(b"%d" % ring.rank), "tcp://[::1]:0")
    assert found == [[b"0", b"1"]] * 2


def test_a_rank_that_is_refused_says_so() -> None:
    """Both are dialers of their right neighbour; the one with the wrong secret finds no ring."""
    addresses = [f"tcp://127.0.0.1:{port}" for port in free_ports(2)]

    def call(rank: int, secret: bytes) -> None:
        connect(
            FixedRendezvous(addresses), rank, 2, addresses[rank], secret=secret, timeout=5
        ).close()

    errors = at_once([lambda: call(0, SECRET), lambda: call(1, new_secret())])
    assert all(isinstance(error, CommunicationError) for error in errors), errors
    assert any("no link to rank" in str(error) for error in errors), errors


def test_a_neighbour_that_never_comes_is_named() -> None:
    addresses = [f"tcp://127.0.0.1:{port}" for port in free_ports(2)]
    with pytest.raises(CommunicationError, match=r"rank 0: cannot reach rank 1 at tcp://127"):
        connect(FixedRendezvous(addresses), 0, 2, addresses[0], secret=SECRET, timeout=0.3)


def test_a_neighbour_that_listens_but_does_not_dial_is_named() -> None:
    with socket.create_server(("127.0.0.1", 0)) as mute:
        addresses = [f"tcp://127.0.0.1:{free_ports(1)[0]}"]
        addresses.append(f"tcp://127.0.0.1:{mute.getsockname()[1]}")
        with pytest.raises(CommunicationError, match=r"rank 0: rank 1 did not connect .* 0\.3 s"):
            connect(FixedRendezvous(addresses), 0, 2, addresses[0], secret=SECRET, timeout=0.3)


def test_a_dialer_does_not_trust_a_listener_without_the_secret() -> None:
    half = dialer(NEIGHBOUR)
    next(half)
    half.send(MAGIC + bytes(32))
    with pytest.raises(CommunicationError, match="secret"):
        half.send(bytes(32))


def test_a_reflected_proof_is_refused() -> None:
    """A listener's own words, sent back to it, prove nothing: the roles differ."""
    asked = listener(ME)
    challenge, _ = next(asked)
    asked.send(challenge[: len(MAGIC)])
    claims = struct.pack("!QII?", 4, 2, 0, False)
    nonce = bytes(32)
    proof = NEIGHBOUR.mac(b"listener", claims, challenge[len(MAGIC) :] + nonce)
    with pytest.raises(CommunicationError, match="secret"):
        asked.send(claims + nonce + proof)


def test_secrets_are_fresh_and_never_shown() -> None:
    assert len({new_secret() for _ in range(10)}) == 10
    assert "secret" not in repr(ME)


def test_nothing_on_the_wire_is_pickled(checkout: Path) -> None:
    rooms = [checkout / "distributed", checkout / "distributed/transport"]
    for path in (path for room in rooms for path in room.glob("*.py")):
        assert not re.search(r"^\s*(import|from) (pickle|marshal|shelve)", path.read_text(), re.M)
