"""The driver's control port: any number of ranks, a bounded number of guests, one address."""

import contextlib
import queue
import socket
import sys
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from types import SimpleNamespace

import pytest

from minicaffe.distributed import door
from minicaffe.distributed.ports import read_ports
from minicaffe.distributed.spark import control
from minicaffe.distributed.spark.slots import driver_addresses
from minicaffe.distributed.spark.supervision.heartbeat import whereabouts
from minicaffe.distributed.spark.supervision.roster import Roster
from minicaffe.distributed.transport import open_transport
from minicaffe.errors import ClusterError, CommunicationError
from minicaffe.machine.whole_file import fenced, whole_file
from minicaffe.proto import minicaffe_pb2 as pb
from minicaffe.proto.text import parse_text
from minicaffe.solver.create import create_solver


@pytest.fixture
def server() -> Iterator[control.ControlServer]:
    server = control.ControlServer("127.0.0.1", "run", 3, b"secret")
    yield server
    server.close()


def test_ranks_beyond_every_number_of_guests_connect(
    monkeypatch: pytest.MonkeyPatch, server: control.ControlServer
) -> None:
    monkeypatch.setattr(door, "GUESTS", 8)
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
    monkeypatch.setattr(door, "GUESTS", 4)
    monkeypatch.setattr(door, "CROWDED", 0.05)
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


def test_a_stranger_costs_no_thread(server: control.ControlServer) -> None:
    before = threading.active_count()
    with contextlib.ExitStack() as at_end:
        for _ in range(50):
            stranger = at_end.enter_context(socket.create_connection(server.address, 5))
            assert stranger.recv(1)  # the server has seen it
        assert threading.active_count() == before


def test_the_proof_has_one_deadline_for_all_its_bytes(
    monkeypatch: pytest.MonkeyPatch, server: control.ControlServer
) -> None:
    monkeypatch.setattr(door, "TIMEOUT", 0.5)
    with socket.create_connection(server.address) as slow:
        slow.settimeout(0.1)
        began = time.monotonic()
        with contextlib.suppress(ConnectionError):
            while time.monotonic() - began < 5:
                slow.sendall(b"m")
                with contextlib.suppress(TimeoutError):
                    if not slow.recv(100):  # its challenge, then the end
                        break
        assert time.monotonic() - began < 2


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


# --- those who are refused ---------------------------------------------------------------------


@pytest.mark.parametrize(
    "seat", [("run", 3, b"guess"), ("run", 2, b"secret"), ("old", 3, b"secret")]
)
def test_a_wrong_key_or_generation_is_refused_at_once(
    server: control.ControlServer, seat: tuple[str, int, bytes]
) -> None:
    began = time.monotonic()
    with pytest.raises(ClusterError, match="it hung up"):
        control.ControlLine(server.address, *seat, rank=0)
    assert time.monotonic() - began < 3


def test_a_talk_that_is_played_again_is_refused(server: control.ControlServer) -> None:
    """Every challenge is a new one."""
    said: list[bytes] = []

    class Recording:
        """A way to the server on which what the rank says is written down."""

        def __init__(self) -> None:
            self.door = socket.create_server(("127.0.0.1", 0))
            self.thread = threading.Thread(target=self.pass_on)
            self.thread.start()

        def pass_on(self) -> None:
            rank, _ = self.door.accept()
            with rank, socket.create_connection(server.address) as there:
                rank.sendall(there.recv(4096))
                said.append(rank.recv(4096))
                there.sendall(said[0])
                rank.sendall(there.recv(4096))
                said.append(rank.recv(4096))
                there.sendall(said[1])

    way = Recording()
    line = control.ControlLine(way.door.getsockname(), "run", 3, b"secret", rank=0)
    line.say("hello")
    assert server.messages.get(timeout=5)["kind"] == "hello"
    way.thread.join()
    line.close()
    way.door.close()
    with socket.create_connection(server.address, 5) as again:
        again.recv(4096)
        again.sendall(b"".join(said))
        began = time.monotonic()
        with contextlib.suppress(ConnectionError):
            assert again.recv(4096) == b""  # no proof in return
        assert time.monotonic() - began < 3
    while not server.messages.empty():
        assert server.messages.get()["kind"] == "lost"  # of the line that was passed on


# --- ports -------------------------------------------------------------------------------------


def test_the_first_free_port_of_a_range_is_taken() -> None:
    """By the driver and by the ring; when all are taken, that is said."""
    with socket.create_server(("127.0.0.1", 0)) as taken:
        first = taken.getsockname()[1]
        ports = range(first, first + 9)
        server = control.ControlServer("127.0.0.1", "run", 0, b"secret", ports=ports)
        assert server.address[1] in ports[1:]
        listener = open_transport(f"tcp://127.0.0.1:{ports[0]}-{ports[-1]}")
        port = int(listener.address.rpartition(":")[2])
        assert port in ports[1:]
        assert port != server.address[1]
        with pytest.raises(CommunicationError, match=rf"cannot listen at tcp://.*:{first}: "):
            open_transport(f"tcp://127.0.0.1:{first}-{first}")
        listener.close()
        server.close()


@pytest.mark.parametrize("text", ["x", "9-", "20-10", "0-5", "70000", "1-2-3"])
def test_what_are_no_ports(text: str) -> None:
    with pytest.raises(CommunicationError, match=f"'{text}': ports are expected"):
        read_ports(text)


def test_ipv6_addresses_come_from_spark_in_brackets() -> None:
    conf = {"spark.driver.host": "[::1]", "spark.driver.bindAddress": "[::]"}
    assert driver_addresses(SimpleNamespace(getConf=lambda: conf)) == ("::", "::1")


# --- the fence ---------------------------------------------------------------------------------


def test_only_a_generation_that_goes_on_gets_leave_to_write(tmp_path: Path) -> None:
    server = control.ControlServer("127.0.0.1", "run", 3, b"secret")
    line = control.ControlLine(server.address, "run", 3, b"secret", rank=0)
    with fenced(line.ask_leave), whole_file(tmp_path / "a") as beside:
        beside.write_bytes(b"new")
    server.close()  # the driver has given the generation up
    with (
        pytest.raises(CommunicationError, match="rank 0 has no leave to write"),
        fenced(line.ask_leave),
        whole_file(tmp_path / "a") as beside,
    ):
        beside.write_bytes(b"newer")
    assert [(path.name, path.read_bytes()) for path in tmp_path.iterdir()] == [("a", b"new")]
    line.close()


def test_a_rank_hears_what_the_driver_asks_and_that_it_hangs_up() -> None:
    server = control.ControlServer("127.0.0.1", "run", 3, b"secret")
    line = control.ControlLine(server.address, "run", 3, b"secret", rank=1)
    heard: queue.Queue[str] = queue.Queue()
    line.asked, line.left = heard.put, lambda: heard.put("left")
    line.say("hello")
    server.messages.get(timeout=5)
    server.tell(0, "ask", what=["nobody"])
    server.tell(1, "ask", what=["stop", "snapshot"])
    assert [heard.get(timeout=5) for _ in range(2)] == ["stop", "snapshot"]
    server.close()
    assert heard.get(timeout=5) == "left"
    line.close()


# --- the ranks as the driver knows them --------------------------------------------------------


def test_whoever_is_silent_is_told_with_what_it_did_last(monkeypatch: pytest.MonkeyPatch) -> None:
    now = 0.0
    monkeypatch.setattr(time, "monotonic", lambda: now)
    found = Roster()
    for rank in range(3):
        found.hear({"kind": "hello", "rank": rank, "host": "h", "pid": 10 + rank})
    for step in range(12):
        now = float(step)
        for rank in (0, 2):
            found.hear({"kind": "beat", "rank": rank, "iteration": step, "doing": "waits"})
        if step < 3:
            found.hear({"kind": "beat", "rank": 1, "iteration": 7, "doing": "forward"})
        silent = found.silent(5.0)
        assert (silent is not None) == (step > 7)
    assert str(silent) == "rank 1 on h (process 11), iteration 7, forward"
    now += 60  # the driver itself did not run
    assert found.silent(5.0) is None
    assert str(found.suspect({0, 2})).startswith("rank 1 ")


def test_a_thread_is_seen_in_its_layer() -> None:
    """Whose frames tell the iteration, the pass and the layer."""
    seen: set[tuple[int | None, str]] = set()

    class Watch:
        def forward(self, index: int) -> None:
            seen.add(whereabouts(sys._getframe()))

    solver = create_solver(
        parse_text(
            """base_lr: 0 lr_policy: "fixed" max_iter: 2 snapshot_after_train: false
            net_param { layer { name: "in" type: "DummyData" top: "x"
                                dummy_data_param { shape { dim: 2 } } }
                        layer { name: "loss" type: "EuclideanLoss" bottom: "x" bottom: "x"
                                top: "loss" } }""",
            pb.SolverParameter(),
        )
    )
    solver.net.callbacks.before_forward.append(Watch().forward)
    solver.solve()
    assert (1, "forward of layer 'in' (DummyData)") in seen
    assert {iteration for iteration, _ in seen} == {0, 1}
    assert whereabouts(sys._getframe()) == (None, "")
