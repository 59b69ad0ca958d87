"""tcp://host:port: ranks on machines, or processes of one machine, that reach each other by TCP.

A rank listens on one address only, until its left neighbour has proved itself (see auth.py), and
never again after that: there is no door for strangers while a solver trains. Until then any number
of them may knock, be silent or talk nonsense; each has its own small conversation, and none keeps
the neighbour waiting.
"""

from __future__ import annotations

import contextlib
import ipaddress
import logging
import select
import socket
import time
from urllib.parse import urlsplit

from minicaffe.errors import CommunicationError

from ..auth import Half, Member, Refused, dialer, listener
from ._stream import StreamTransport

log = logging.getLogger(__name__)

BACKLOG = 128
MAX_GUESTS = 256
DIAL_AGAIN = 0.05  # seconds between two tries to reach a neighbour that does not listen yet
WAKE = 0.2  # seconds after which the guests' time is looked at, even if nothing happens


class Conversation:
    """A socket and one half of the handshake, moved on by what arrives."""

    def __init__(self, sock: socket.socket, half: Half, peer: str, deadline: float) -> None:
        sock.setblocking(False)
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.socket = sock
        self.peer = peer
        self.deadline = deadline
        self._half = half
        self._say, self._awaited = next(half)
        self._heard = b""

    def advance(self) -> bool:
        """Say what is to be said, take what has arrived; True when the other side is proved.

        Never takes a byte more than the handshake has: the next one belongs to the ring. Raises
        Refused.
        """
        try:
            while True:
                if self._say and self.socket.send(self._say) < len(self._say):
                    raise Refused("it does not listen")
                self._say = b""
                while len(self._heard) < self._awaited:
                    heard = self.socket.recv(self._awaited - len(self._heard))
                    if not heard:
                        raise Refused("it hung up")
                    self._heard += heard
                heard, self._heard = self._heard, b""
                self._say, self._awaited = self._half.send(heard)
        except StopIteration:
            return True
        except BlockingIOError:
            return False
        except OSError as error:
            raise Refused(f"its connection broke ({error})") from error

    def close(self) -> None:
        """Hang up."""
        self.socket.close()


class TcpListener:
    """A listening socket that turns into a place in the ring."""

    def __init__(self, url: str) -> None:
        host, port = _host_and_port(url)
        #: Connections turned away so far.
        self.refused = 0
        self._socket = _listen(host, port)
        self._listening = True
        self._guests: list[Conversation] = []
        shown = f"[{host}]" if ":" in host else host
        self.address = f"tcp://{shown}:{self._socket.getsockname()[1]}"

    def join(
        self, right: str, me: Member, timeout: float, handshake_timeout: float
    ) -> StreamTransport:
        """See Listener.join. The kernel completes connections to a rank that does not accept yet,
        so dialing first and talking afterwards cannot lock the ring.
        """
        deadline = time.monotonic() + timeout
        with contextlib.ExitStack() as hang_up:
            dial = _dial(right, me, deadline)
            hang_up.callback(dial.close)
            left = None
            proved = False  # to the right neighbour
            while left is None or not proved:
                for ready in self._ready([] if proved else [dial]):
                    if ready is dial:
                        proved = self._hear_right(dial, me)
                    elif left is None:
                        left = self._hear(ready or self._welcome(me, handshake_timeout))
                        if left is not None:
                            hang_up.callback(left.close)
                            self.close()
                self._refuse_the_late()
                if time.monotonic() > deadline:
                    missing = f"rank {me.left} did not connect to {self.address}"
                    if left is not None:
                        missing = f"{dial.peer} did not answer"
                    raise CommunicationError(
                        f"rank {me.rank}: {missing} within {timeout:.1f} s "
                        f"({self.refused} strangers were refused)"
                    )
            transport = StreamTransport(me, dial.socket, left.socket, timeout)
            hang_up.pop_all()
        return transport

    def _ready(self, dials: list[Conversation]) -> list[Conversation | None]:
        """The conversations that have heard something; None stands for a new guest."""
        sources: dict[int, Conversation | None] = {}
        if self._listening and len(self._guests) < MAX_GUESTS:
            sources[self._socket.fileno()] = None
        sources.update((talk.socket.fileno(), talk) for talk in (*dials, *self._guests))
        poll = select.poll()
        for number in sources:
            poll.register(number, select.POLLIN)
        return [sources[number] for number, _ in poll.poll(WAKE * 1000)]

    def _welcome(self, me: Member, handshake_timeout: float) -> Conversation | None:
        """Begin a conversation with whoever connects."""
        try:
            sock, (host, port, *_) = self._socket.accept()
        except OSError:  # gone again
            return None
        deadline = time.monotonic() + handshake_timeout
        guest = Conversation(sock, listener(me), f"{host}:{port}", deadline)
        self._guests.append(guest)
        return guest

    def _hear(self, guest: Conversation | None) -> Conversation | None:
        """The guest, if it now has proved to be the left neighbour; it leaves if it cannot be."""
        if guest is None:
            return None
        try:
            if not guest.advance():
                return None
        except Refused as error:
            self._refuse(guest, error)
            return None
        self._guests.remove(guest)
        return guest

    def _hear_right(self, dial: Conversation, me: Member) -> bool:
        try:
            return dial.advance()
        except Refused as error:
            raise CommunicationError(
                f"rank {me.rank}: no link to {dial.peer}: {error} (it has failed, or it is of "
                "another run, generation or rank)"
            ) from error

    def _refuse_the_late(self) -> None:
        now = time.monotonic()
        for guest in [guest for guest in self._guests if guest.deadline < now]:
            self._refuse(guest, "it was too slow")

    def _refuse(self, guest: Conversation, reason: object) -> None:
        """Send a stranger away and count it; only the first is worth a line in the log."""
        self._guests.remove(guest)
        guest.close()
        self.refused += 1
        if self.refused == 1:
            log.warning("%s: refused %s: %s", self.address, guest.peer, reason)

    def close(self) -> None:
        """Stop listening and send everyone away."""
        self._listening = False
        self._socket.close()
        for guest in self._guests:
            guest.close()
        self._guests.clear()


def listen(url: str) -> TcpListener:
    """Listen at a URL such as tcp://127.0.0.1:0; port 0 is any free one."""
    return TcpListener(url)


def _dial(right: str, me: Member, deadline: float) -> Conversation:
    """Connect to the right neighbour, as soon as it listens."""
    peer = f"rank {me.right} at {right}"
    host, port = _host_and_port(right)
    while True:
        rest = deadline - time.monotonic()
        try:
            sock = socket.create_connection((host, port), max(rest, 0.001))
        except OSError as error:
            if isinstance(error, ConnectionRefusedError) and rest > 0:
                time.sleep(DIAL_AGAIN)
                continue
            raise CommunicationError(f"rank {me.rank}: cannot reach {peer}: {error}") from error
        return Conversation(sock, dialer(me), peer, deadline)


def _listen(host: str, port: int) -> socket.socket:
    """A socket bound to one address. Raises CommunicationError."""
    try:
        found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
        family, _, _, _, address = found[0]
        if ipaddress.ip_address(address[0]).is_unspecified:
            raise CommunicationError(
                f"tcp://{host}:{port} is every address of this machine; name the one to listen at"
            )
        return socket.create_server((str(address[0]), port), family=family, backlog=BACKLOG)
    except OSError as error:
        raise CommunicationError(f"cannot listen at tcp://{host}:{port}: {error}") from error


def _host_and_port(url: str) -> tuple[str, int]:
    """The two parts of tcp://host:port. Raises CommunicationError."""
    try:
        parts = urlsplit(url)
        host, port = parts.hostname, parts.port
    except ValueError:
        host = port = None
    if not host or port is None or parts.scheme != "tcp":
        raise CommunicationError(f"'{url}' is no address of the form tcp://host:port")
    return host, port
