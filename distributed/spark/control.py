"""The line between the ranks and the driver: JSON lines over TCP, after a mutual proof.

Each rank dials the driver when it starts and says what happens: that it lives, its metrics, its
errors, and "bye" when it leaves. A line that ends without is that of a process which died: the
operating system closes it at once, whatever Spark and the ring find out, and in which order.

The driver asks ranks to stop or to write a snapshot, and hangs up when it gives a generation up.
That is also the fence around what a run writes: a rank asks for leave before a file goes to its
place, and only a generation that goes on gets it.

The proof is that of the ring (auth.py), with the run's secret. The driver listens on one address
only, whatever Spark binds. A guest has a few seconds in all for its proof, however it deals out its
bytes, and there are a bounded number of them at a time (door.py). Ranks that have proved themselves
do not count: there is no limit for them.
"""

from __future__ import annotations

import contextlib
import ipaddress
import json
import logging
import queue
import socket
import threading
import time
from collections.abc import Callable, Iterable, Iterator
from typing import Any, BinaryIO, Protocol

from minicaffe.errors import CommunicationError
from minicaffe.machine.compiling import compiling

from ..door import GUESTS, Door
from ..driver_call import DIALING, Call, dial, seat
from ..ports import ANY, listening_socket

log = logging.getLogger("minicaffe.spark")

TIMEOUT = 5.0  # seconds for which a rank tries to say something
LINE_LIMIT = 1 << 22  # bytes of one message
LEAVE = 30.0  # seconds that a rank waits for leave to write
QUIET = 60.0  # seconds between two lines of the log about strangers

Message = dict[str, Any]


class Desk(Protocol):
    """What answers those who come with a request instead of news; see files/desk.py."""

    kinds: frozenset[str]

    def answer(self, message: Message, stream: BinaryIO, connection: socket.socket) -> None:
        """Do what is asked for."""


def one_address(bind: str, host: str) -> str:
    """The address to listen on: `bind`, or where that means all, the one that ranks know, `host`.

    Where `host` is not of this machine (it stands behind another's address), that of its own name.
    Raises CommunicationError where neither is.
    """
    if not _means_all(bind):
        return bind
    for name in (host, socket.gethostname()):
        with contextlib.suppress(OSError):
            family, _, _, _, place = socket.getaddrinfo(name, 0, type=socket.SOCK_STREAM)[0]
            with socket.socket(family, socket.SOCK_STREAM) as probe:
                probe.bind((place[0], 0))
            if not _means_all(str(place[0])):
                return str(place[0])
    raise CommunicationError(
        f"the driver finds no address of its own to listen on: spark.driver.bindAddress is {bind},"
        f" which means all, and spark.driver.host is {host}; set the first to one of its addresses"
    )


def _means_all(address: str) -> bool:
    try:
        return ipaddress.ip_address(address.strip("[]") or "::").is_unspecified
    except ValueError:  # a name
        return False


class _Strangers:
    """What the log says of connections that were refused: a line a minute."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._last = -QUIET
        self._silent = 0

    def refused(self, peer: str, reason: object) -> None:
        """Tell of one, and of how many nothing was said since the last line."""
        with self._lock:
            now = time.monotonic()
            if now - self._last < QUIET:
                self._silent += 1
                return
            others = f" ({self._silent} others before)" if self._silent else ""
            self._last, self._silent = now, 0
        log.warning("refused a stranger from %s on the control port: %s%s", peer, reason, others)


class ControlServer:
    """The driver's end: `messages` is a queue of what the ranks of one generation say.

    The server itself adds `{"kind": "lost", "rank": n}` for a rank whose line ended without "bye",
    and gives leave to write to whoever asks, as long as it is open.
    A connection that begins with a request, of the kinds of the `desk`, is the desk's.
    """

    def __init__(
        self,
        host: str,
        run: str,
        generation: int,
        secret: bytes,
        desk: Desk | None = None,
        ports: range = ANY,
    ) -> None:
        self._desk = desk
        self.messages: queue.Queue[Message] = queue.Queue()
        member = seat(run, generation, secret)
        try:
            taken = listening_socket(host, ports, GUESTS)
        except OSError as error:
            raise CommunicationError(f"the driver cannot listen on {host}: {error}") from error
        self.address: tuple[str, int] = (host, taken.getsockname()[1])
        self._closing = False
        self._connections: set[socket.socket] = set()
        self._lines: dict[int, socket.socket] = {}  # of the ranks
        self._door = Door(taken, member, self._welcome, _Strangers().refused)

    def tell(self, rank: int, kind: str, **fields: Any) -> None:
        """Say something to a rank, if it is there."""
        connection = self._lines.get(rank)
        if connection is not None:
            _send(connection, {"kind": kind, **fields})

    def close(self) -> None:
        """Hang up on everybody and stop listening. A second call does nothing."""
        if self._closing:
            return
        self._closing = True
        self._door.close()
        for connection in list(self._connections):
            with contextlib.suppress(OSError):
                connection.shutdown(socket.SHUT_RDWR)

    def _welcome(self, connection: socket.socket, peer: str) -> None:
        self._connections.add(connection)
        threading.Thread(target=self._serve, args=(connection, peer), daemon=True).start()

    def _serve(self, connection: socket.socket, peer: str) -> None:
        rank: int | None = None  # of a line that may end in silence, which tells something
        try:
            with connection.makefile("rb") as lines:
                while line := lines.readline(LINE_LIMIT):
                    message = json.loads(line)
                    if not isinstance(message, dict):
                        continue
                    if self._desk is not None and message.get("kind") in self._desk.kinds:
                        return self._desk.answer(message, lines, connection)
                    rank = int(message["rank"])
                    self._lines[rank] = connection
                    if message.get("kind") == "leave":
                        _send(connection, {"kind": "leave"})
                        continue
                    self.messages.put(message)
                    if message.get("kind") == "bye":
                        rank = None
                        return
        except (OSError, ValueError, KeyError, TypeError) as error:
            if not self._closing:
                log.warning("lost the control line of %s: %s", peer, error)
        finally:
            if rank is not None and not self._closing:
                self.messages.put({"kind": "lost", "rank": rank})
            self._connections.discard(connection)
            for number in [rank for rank, line in list(self._lines.items()) if line is connection]:
                del self._lines[number]
            connection.close()


def _send(connection: socket.socket, message: Message) -> None:
    """Say something to a rank; one that does not hear it will soon be known to be lost."""
    with contextlib.suppress(OSError):
        connection.sendall(json.dumps(message).encode() + b"\n")


class ControlLine:
    """A rank's end. What cannot be said any more is dropped; a thread hears what the driver says.

    `asked` is called with what the driver asks for ("stop", "snapshot"), `left` when the driver has
    hung up. `patience` is in seconds. Raises ClusterError where the driver cannot be reached in
    them.
    """

    def __init__(
        self,
        address: tuple[str, int],
        run: str,
        generation: int,
        secret: bytes,
        rank: int,
        patience: float = DIALING,
    ) -> None:
        self.rank = rank
        self.asked: Callable[[str], None] = lambda what: None
        self.left: Callable[[], None] = lambda: None
        self._lock = threading.Lock()
        self._socket: socket.socket | None = None
        self._given: queue.Queue[bool] = queue.Queue()  # leaves; False when there will be none
        self._socket = dial(Call(address, run, generation, secret), rank, patience)
        self._socket.settimeout(TIMEOUT)
        self.host = str(self._socket.getsockname()[0])  # from which the driver is reached
        self._thread = threading.Thread(
            target=self._listen, args=(self._socket,), name="minicaffe-control", daemon=True
        )
        self._thread.start()

    def say(self, kind: str, **fields: Any) -> None:
        """Send one message."""
        line = json.dumps({"kind": kind, "rank": self.rank, **fields}) + "\n"
        with self._lock:
            if self._socket is None:
                return
            try:
                self._socket.sendall(line.encode())
            except OSError as error:
                log.warning("rank %d lost its control line to the driver: %s", self.rank, error)
                self._hang_up()

    def ask_leave(self) -> None:
        """Return when the driver has given leave to write; CommunicationError where it does not."""
        self.say("leave")
        try:
            given = self._socket is not None and self._given.get(timeout=LEAVE)
        except queue.Empty:
            given = False
        if not given:
            raise CommunicationError(
                f"rank {self.rank} has no leave to write: the driver has given its generation up"
            )

    def close(self) -> None:
        """Say goodbye and hang up."""
        self.left = lambda: None
        self.say("bye")
        with self._lock:
            self._hang_up()
        if self._thread is not threading.current_thread():
            self._thread.join()

    def _hang_up(self) -> None:
        if self._socket is not None:
            with contextlib.suppress(OSError):
                self._socket.shutdown(socket.SHUT_RDWR)
            self._socket.close()
            self._socket = None

    def _listen(self, connection: socket.socket) -> None:
        for line in _lines_of(connection):
            message = json.loads(line)
            if message["kind"] == "leave":
                self._given.put(True)
            elif message["kind"] == "ask":
                for what in message["what"]:
                    self.asked(what)
        self._given.put(False)
        self.left()


def _lines_of(connection: socket.socket) -> Iterable[bytes]:
    """What arrives, line by line, until the other side or this one hangs up."""
    heard = b""
    while True:
        try:
            part = connection.recv(1 << 16)
        except TimeoutError:  # it is that of sending
            continue
        except OSError:
            return
        if not part:
            return
        *lines, heard = (heard + part).split(b"\n")
        yield from lines


@contextlib.contextmanager
def compilations_told(line: ControlLine) -> Iterator[None]:
    """Tell the driver what is compiled, which may take minutes the first time."""

    def tell(count: int, name: str) -> None:
        line.say("compiling", count=count, name=name)

    compiling.tell = tell
    try:
        yield
    finally:
        compiling.tell = None
