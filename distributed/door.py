"""A door that stays open while a run goes on: who proves to be of the run comes in, others leave.

Guests are those who have not proved themselves yet. One thread hears all of them, so that a
stranger costs its connection and no thread; that matters where a training wants the same cores.
"""

from __future__ import annotations

import contextlib
import select
import socket
import threading
import time
from collections.abc import Callable

from .auth import Member, Refused, listener
from .handshake import Conversation

TIMEOUT = 5.0  # seconds that a proof may take, in all
GUESTS = 256  # at a time
CROWDED = 0.5  # seconds for which a new guest waits for room

WelcomeGuest = Callable[[socket.socket, str], None]
RefuseGuest = Callable[[str, object], None]


class Door:
    """Listens on a socket, which it owns, in a thread of its own, until it is closed.

    `welcome` is called with the connection and the name of whoever has proved to be of `member`'s
    run, `refuse` with the name of a stranger and the reason, when it is gone. Neither may wait.
    When as many guests as there is room for do not leave, the oldest is sent away.
    """

    def __init__(
        self, sock: socket.socket, member: Member, welcome: WelcomeGuest, refuse: RefuseGuest
    ) -> None:
        sock.setblocking(False)
        self._socket = sock
        self._member = member
        self._welcome = welcome
        self._refuse = refuse
        self._guests: dict[int, Conversation] = {}  # by descriptor, in the order in which they came
        self._poll = select.poll()
        self._listening = False
        self._waits_since: float | None = None  # a guest before the door, for want of room
        self._ours, self._its = socket.socketpair()  # wakes the thread
        self._poll.register(self._its, select.POLLIN)
        self._thread = threading.Thread(target=self._run, name="minicaffe-door", daemon=True)
        self._thread.start()

    def close(self) -> None:
        """Send all guests away and stop listening."""
        with contextlib.suppress(OSError):
            self._ours.send(b"x")
        if self._thread is not threading.current_thread():
            self._thread.join()

    def _run(self) -> None:
        try:
            self._listen(True)
            while self._turn():
                pass
        finally:
            for guest in self._guests.values():
                guest.close()
            for sock in (self._socket, self._its, self._ours):
                sock.close()

    def _turn(self) -> bool:
        """Hear whoever says something; False when the door is to be closed."""
        for number, _ in self._poll.poll(self._patience()):
            if number == self._its.fileno():
                return False
            if number == self._socket.fileno():
                self._let_in()
            elif number in self._guests:
                self._hear(self._guests[number])
        now = time.monotonic()
        for guest in [each for each in self._guests.values() if each.deadline < now]:
            self._send_away(guest, "it was too slow")
        self._make_room(now)
        return True

    def _patience(self) -> float | None:
        """Milliseconds until somebody's time is over; None where nobody is waited for."""
        ends = [guest.deadline for guest in list(self._guests.values())[:1]]
        if self._waits_since is not None:
            ends.append(self._waits_since + CROWDED)
        return max(min(ends) - time.monotonic(), 0) * 1000 + 1 if ends else None

    def _make_room(self, now: float) -> None:
        """Listen again when somebody has left, or when the oldest has to."""
        if self._waits_since is None:
            return
        if len(self._guests) >= GUESTS:
            if now - self._waits_since < CROWDED:
                return
            self._send_away(next(iter(self._guests.values())), "others wait")
        self._waits_since = None
        self._listen(True)

    def _listen(self, on: bool) -> None:
        if on and not self._listening:
            self._poll.register(self._socket, select.POLLIN)
        elif self._listening and not on:
            self._poll.unregister(self._socket)
        self._listening = on

    def _let_in(self) -> None:
        """Begin a conversation with whoever is at the door."""
        if len(self._guests) >= GUESTS:
            self._stop_listening()
            return
        try:
            sock, address = self._socket.accept()
        except (BlockingIOError, ConnectionError):  # gone again
            return
        except OSError:  # no descriptors are left, say
            self._stop_listening()
            return
        deadline = time.monotonic() + TIMEOUT
        name = f"{address[0]}:{address[1]}"
        try:
            guest = Conversation(sock, listener(self._member), name, deadline)
        except OSError:
            sock.close()
            return
        self._guests[sock.fileno()] = guest
        self._poll.register(sock, select.POLLIN)
        self._hear(guest)

    def _stop_listening(self) -> None:
        self._waits_since = time.monotonic()
        self._listen(False)

    def _hear(self, guest: Conversation) -> None:
        try:
            if not guest.advance():
                return
        except Refused as error:
            self._send_away(guest, error)
            return
        self._forget(guest)
        guest.socket.setblocking(True)
        self._welcome(guest.socket, guest.peer)

    def _send_away(self, guest: Conversation, reason: object) -> None:
        self._forget(guest)
        guest.close()
        self._refuse(guest.peer, reason)

    def _forget(self, guest: Conversation) -> None:
        del self._guests[guest.socket.fileno()]
        self._poll.unregister(guest.socket)
