"""The handshake of auth.py over sockets: a conversation, and the guests among whom is a neighbour.

Until the left neighbour has proved itself, any number of strangers may knock, be silent or talk
nonsense; each has its own small conversation, and none keeps the neighbour waiting.
"""

from __future__ import annotations

import contextlib
import logging
import select
import socket
import time

from minicaffe.errors import CommunicationError

from .auth import Half, Member, Refused, listener

log = logging.getLogger(__name__)

MAX_GUESTS = 256
WAKE = 0.2  # seconds after which the guests' time is looked at, even if nothing happens


class Conversation:
    """A socket and one half of the handshake, moved on by what arrives.

    `peer` names the other side in errors; `deadline` is the time.monotonic() of its end. Who has
    several sockets waits for them and calls `advance`; who has one calls `finish`.
    """

    def __init__(self, sock: socket.socket, half: Half, peer: str, deadline: float) -> None:
        sock.setblocking(False)
        if sock.family != socket.AF_UNIX:
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.socket = sock
        self.peer = peer
        self.deadline = deadline
        self.key = b""  # of the frames that follow, when the other side is proved
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
        except StopIteration as end:
            self.key = end.value
            return True
        except BlockingIOError:
            return False
        except OSError as error:
            raise Refused(f"its connection broke ({error})") from error

    def finish(self) -> socket.socket:
        """Talk until the other side is proved; the socket, which blocks from now on.

        Raises Refused, also when the deadline has come.
        """
        poll = select.poll()
        poll.register(self.socket.fileno(), select.POLLIN)
        while not self.advance():
            if not poll.poll(max(self.deadline - time.monotonic(), 0) * 1000):
                raise Refused("it was too slow")
        self.socket.setblocking(True)
        return self.socket

    def close(self) -> None:
        """Hang up."""
        self.socket.close()


class Guests:
    """Whoever connects to a listening socket, until the left neighbour is found among them."""

    def __init__(self, sock: socket.socket, address: str) -> None:
        self.address = address
        #: Connections turned away so far.
        self.refused = 0
        self._socket = sock
        self._listening = True
        self._guests: list[Conversation] = []

    def meet(
        self, dial: Conversation, me: Member, timeout: float, handshake_timeout: float
    ) -> Conversation:
        """Prove oneself to the right neighbour (`dial`), and find the left one.

        Nobody is let in after that. A stranger has `handshake_timeout` seconds. Raises
        CommunicationError when `dial.deadline`, `timeout` seconds after the start, has come.
        """
        with contextlib.ExitStack() as hang_up:
            left = None
            proved = False  # to the right neighbour
            while left is None or not proved:
                for ready in self._ready([] if proved else [dial]):
                    if ready is dial:
                        proved = _hear_right(dial, me)
                    elif left is None:
                        left = self._hear(ready or self._welcome(me, handshake_timeout))
                        if left is not None:
                            hang_up.callback(left.close)
                            self.close()
                self._refuse_the_late()
                if time.monotonic() > dial.deadline:
                    missing = f"rank {me.left} did not connect to {self.address}"
                    if left is not None:
                        missing = f"{dial.peer} did not answer"
                    raise CommunicationError(
                        f"rank {me.rank}: {missing} within {timeout:.1f} s "
                        f"({self.refused} strangers were refused)"
                    )
            hang_up.pop_all()
            return left

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
            sock, peer = self._socket.accept()
        except OSError:  # gone again
            return None
        deadline = time.monotonic() + handshake_timeout
        name = f"{peer[0]}:{peer[1]}" if isinstance(peer, tuple) else "somebody here"
        guest = Conversation(sock, listener(me), name, deadline)
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


def _hear_right(dial: Conversation, me: Member) -> bool:
    try:
        return dial.advance()
    except Refused as error:
        raise CommunicationError(
            f"rank {me.rank}: no link to {dial.peer}: {error} (it has failed, or it is of "
            "another run, generation or rank)"
        ) from error
