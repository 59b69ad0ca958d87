"""The driver's control port: any number of ranks, a bounded number of guests, one address."""

import contextlib
import socket
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import pytest

from minicaffe.distributed.spark import control
from minicaffe.errors import CommunicationError


@pytest.fixture
def server() -> Iterator[control.ControlServer]:
    server = control.ControlServer("127.0.0.1", "run", 3, b"secret")
    yield server
    server.close()


def test_ranks_beyond_every_number_of_guests_connect(
    monkeypatch: pytest.MonkeyPatch, server: control.ControlServer
) -> None:
    monkeypatch.setattr(control, "GUESTS", 8)
    lines = [control.ControlLine(server.address, "run", 3, b"secret", rank) for rank in range(300)]
    for line in lines:
        line.say("hello")
    heard = {server.messages.get(timeout=10)["rank"] for _ in lines}
    assert heard == set(range(300))
    for line in lines:
        line.close()


def test_many_ranks_may_call_at_once(server: control.ControlServer) -> None:
    with ThreadPoolExecutor(100) as pool:
        lines = list(
            pool.map(
                lambda rank: control.ControlLine(server.address, "run", 3, b"secret", rank),
                range(300),
            )
        )
    for line in lines:
        line.close()


def test_silent_guests_do_not_keep_a_rank_out(
    monkeypatch: pytest.MonkeyPatch, server: control.ControlServer
) -> None:
    monkeypatch.setattr(control, "GUESTS", 4)
    monkeypatch.setattr(control, "CROWDED", 0.05)
    with contextlib.ExitStack() as at_end:
        strangers = [
            at_end.enter_context(socket.create_connection(server.address)) for _ in range(20)
        ]
        line = control.ControlLine(server.address, "run", 3, b"secret", rank=0)
        line.say("hello")
        assert server.messages.get(timeout=5)["kind"] == "hello"
        strangers[0].settimeout(5)
        while strangers[0].recv(100):  # its challenge, then the end: the oldest are sent away
            pass
        line.close()


def test_the_proof_has_one_deadline_for_all_its_bytes(
    monkeypatch: pytest.MonkeyPatch, server: control.ControlServer
) -> None:
    monkeypatch.setattr(control, "TIMEOUT", 0.5)
    with socket.create_connection(server.address) as slow:
        began = time.monotonic()
        with contextlib.suppress(OSError):
            while time.monotonic() - began < 5 and server._connections | {slow}:
                slow.sendall(b"x")
                time.sleep(0.1)
                if not server._connections:
                    break
        assert time.monotonic() - began < 3


def test_strangers_are_one_line_a_minute(
    server: control.ControlServer, caplog: pytest.LogCaptureFixture
) -> None:
    for _ in range(20):
        with socket.create_connection(server.address) as stranger:
            stranger.sendall(bytes(5000))
            with contextlib.suppress(OSError):
                while stranger.recv(1000):
                    pass
    told = [record for record in caplog.records if "refused a stranger" in record.message]
    assert len(told) == 1


@pytest.mark.parametrize("everything", ["0.0.0.0", "::", "[::]", ""])
def test_the_driver_listens_on_one_address(everything: str) -> None:
    assert control.one_address("10.1.2.3", "driver") == "10.1.2.3"
    assert control.one_address("driver", "elsewhere") == "driver"
    assert control.one_address(everything, "127.0.0.1") == "127.0.0.1"


def test_behind_the_address_of_another_machine(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(socket, "gethostname", lambda: "127.0.0.1")
    assert control.one_address("0.0.0.0", "203.0.113.7") == "127.0.0.1"
    monkeypatch.setattr(socket, "gethostname", lambda: "203.0.113.8")
    with pytest.raises(CommunicationError, match="finds no address of its own to listen on"):
        control.one_address("0.0.0.0", "203.0.113.7")
