"""The line between the ranks and the driver: JSON lines over TCP, after a mutual proof.

Each rank dials the driver when it starts and says what happens: its metrics (rank 0), its errors,
and "bye" when it leaves. A line that ends without is that of a process which died: the operating
system closes it at once, whatever Spark and the ring find out, and in which order.

The proof is that of the ring (auth.py), with the run's secret. The driver listens on its own
address only, and a stranger has a few seconds to give up.
"""

from __future__ import annotations

import contextlib
import json
import logging
import queue
import socket
import threading
import time
from typing import Any

from minicaffe.errors import CommunicationError

from ..auth import Member, Refused, dialer, listener
from ..handshake import Conversation

log = logging.getLogger("minicaffe.spark")

TIMEOUT = 5.0  # seconds that a handshake may take
LINE_LIMIT = 1 << 22  # bytes of one message
GUESTS = 256

Message = dict[str, Any]


def _seat(run: str, generation: int, secret: bytes) -> Member:
    """The one seat that drivers and ranks of a generation prove to hold, apart from the ring's."""
    return Member(rank=0, world_size=1, generation=generation, run=f"{run} control", secret=secret)


class ControlServer:
    """The driver's end: `messages` is a queue of what the ranks of one generation say.

    The server itself adds `{"kind": "lost", "rank": n}` for a rank whose line ended without "bye".
    """

    def __init__(self, host: str, run: str, generation: int, secret: bytes) -> None:
        self.messages: queue.Queue[Message] = queue.Queue()
        self._member = _seat(run, generation, secret)
        try:
            family = socket.getaddrinfo(host, 0, type=socket.SOCK_STREAM)[0][0]
            self._socket = socket.create_server((host, 0), family=family, backlog=GUESTS)
        except OSError as error:
            raise CommunicationError(f"the driver cannot listen on {host}: {error}") from error
        self.address: tuple[str, int] = (host, self._socket.getsockname()[1])
        self._closing = False
        self._connections: set[socket.socket] = set()
        self._thread = threading.Thread(target=self._accept, name="minicaffe-control", daemon=True)
        self._thread.start()

    def close(self) -> None:
        """Hang up on everybody and stop listening."""
        self._closing = True
        with contextlib.suppress(OSError):
            self._socket.shutdown(socket.SHUT_RDWR)
        self._socket.close()
        for connection in list(self._connections):
            with contextlib.suppress(OSError):
                connection.shutdown(socket.SHUT_RDWR)
        self._thread.join()

    def _accept(self) -> None:
        while not self._closing:
            try:
                connection, peer = self._socket.accept()
            except OSError:
                if self._closing:
                    return
                continue
            if len(self._connections) >= GUESTS:
                connection.close()
                continue
            self._connections.add(connection)
            threading.Thread(
                target=self._serve, args=(connection, f"{peer[0]}:{peer[1]}"), daemon=True
            ).start()

    def _serve(self, connection: socket.socket, peer: str) -> None:
        rank: int | None = None  # of a line that may end in silence, which tells something
        try:
            deadline = time.monotonic() + TIMEOUT
            Conversation(connection, listener(self._member), peer, deadline).finish()
            with connection.makefile("rb") as lines:
                while line := lines.readline(LINE_LIMIT):
                    message = json.loads(line)
                    if not isinstance(message, dict):
                        continue
                    rank = message.get("rank")
                    if message.get("kind") == "bye":
                        rank = None
                        return
                    self.messages.put(message)
        except Refused as error:
            log.warning("refused a stranger from %s on the control port: %s", peer, error)
        except (OSError, ValueError) as error:
            if not self._closing:
                log.warning("lost the control line of %s: %s", peer, error)
        finally:
            if rank is not None and not self._closing:
                self.messages.put({"kind": "lost", "rank": rank})
            self._connections.discard(connection)
            connection.close()


class ControlLine:
    """A rank's end. What cannot be said any more is dropped: training does not depend on it."""

    def __init__(
        self, address: tuple[str, int], run: str, generation: int, secret: bytes, rank: int
    ) -> None:
        self.rank = rank
        self._lock = threading.Lock()
        self._socket: socket.socket | None = None
        try:
            self._socket = socket.create_connection(address, TIMEOUT)
            half = dialer(_seat(run, generation, secret))
            deadline = time.monotonic() + TIMEOUT
            Conversation(self._socket, half, "the driver", deadline).finish().settimeout(TIMEOUT)
        except (OSError, Refused) as error:
            self.close()
            host, port = address
            raise CommunicationError(
                f"rank {rank} cannot reach the driver at {host}:{port}: {error}"
            ) from error

    @property
    def host(self) -> str:
        """The address from which this machine reaches the driver."""
        return str(self._socket.getsockname()[0]) if self._socket else ""

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
                self._socket.close()
                self._socket = None

    def close(self) -> None:
        """Say goodbye and hang up."""
        self.say("bye")
        if self._socket is not None:
            self._socket.close()
            self._socket = None
