"""inproc://name: ranks as threads of one process; each link is a mailbox.

The plainest transport there is, and the one to read first: the others do the same over a wire.
"""

from __future__ import annotations

import itertools
import threading
import time
from collections import deque
from collections.abc import Iterator, Sequence
from weakref import WeakValueDictionary

from minicaffe.errors import CommunicationError

from ..auth import Member, Refused
from ..frames import Frame, check_header, check_payload, describe, seal

_open: WeakValueDictionary[str, Mailbox] = WeakValueDictionary()
_serial = itertools.count()


class Mailbox:
    """Frames on their way from one rank to its right neighbour."""

    def __init__(self) -> None:
        self.changed = threading.Condition()
        self.frames: deque[tuple[bytes, bytes]] = deque()
        self.sender: Member | None = None
        self.closed = False

    def put(self, frame: Frame) -> bool:
        """Copy a frame in; False if the mailbox is closed."""
        with self.changed:
            self.frames.append((seal(frame), bytes(frame.payload)))
            self.changed.notify_all()
            return not self.closed

    def get(self, timeout: float) -> tuple[bytes, bytes] | None:
        """The oldest frame; None if there is none within `timeout` seconds or it is closed."""
        with self.changed:
            self.changed.wait_for(lambda: self.frames or self.closed, timeout)
            return self.frames.popleft() if self.frames else None

    def close(self) -> None:
        """Wake who waits here; frames that are inside can still be taken."""
        with self.changed:
            self.closed = True
            self.changed.notify_all()


class InprocTransport:
    """Two mailboxes: the right neighbour's, to send to, and one's own."""

    def __init__(self, me: Member, outbox: Mailbox, inbox: Mailbox, timeout: float) -> None:
        self._me = me
        self._outbox = outbox
        self._inbox = inbox
        self._timeout = timeout

    def sendrecv(
        self, to_right: Sequence[Frame], from_left: Sequence[Frame], lead: int
    ) -> Iterator[int]:
        """See Transport.sendrecv. Sending never blocks here: a mailbox has no size."""
        sent = 0
        for arrived, awaited in enumerate(from_left):
            sent = self._send(to_right, sent, lead + arrived)
            self._receive(awaited)
            yield arrived
        self._send(to_right, sent, len(to_right))

    def _send(self, frames: Sequence[Frame], start: int, end: int) -> int:
        for frame in frames[start:end]:
            if not self._outbox.put(frame):
                raise self._error(f"rank {self._me.right} closed the link", "sending", frame, 0.0)
        return max(start, min(end, len(frames)))

    def _receive(self, awaited: Frame) -> None:
        began = time.monotonic()
        message = self._inbox.get(self._timeout)
        waited = time.monotonic() - began
        if message is None:
            what = "closed the link" if self._inbox.closed else "is silent"
            raise self._error(f"rank {self._me.left} {what}", "awaiting", awaited, waited)
        header, payload = message
        try:
            check_header(awaited, header)
            awaited.payload[:] = payload
            check_payload(awaited, header)
        except CommunicationError as error:
            about = f"rank {self._me.left} sent {error}"
            raise self._error(about, "awaiting", awaited, waited) from None

    def _error(self, what: str, doing: str, frame: Frame, waited: float) -> CommunicationError:
        return CommunicationError(
            f"rank {self._me.rank}: {what}; {doing} {describe(frame)} for {waited:.1f} s"
        )

    def close(self) -> None:
        """Close both mailboxes."""
        self._outbox.close()
        self._inbox.close()


class InprocListener:
    """A mailbox that the left neighbour finds by its address."""

    def __init__(self, url: str) -> None:
        self.address = f"{url}/{next(_serial)}"
        self._inbox = Mailbox()
        _open[self.address] = self._inbox

    def join(
        self, right: str, me: Member, timeout: float, handshake_timeout: float
    ) -> InprocTransport:
        """See Listener.join."""
        if me.signed:
            raise CommunicationError(
                f"{self.address}: frames of one process are not signed; take tcp, unix or shm"
            )
        outbox = _open.get(right)
        if outbox is None:
            raise CommunicationError(
                f"rank {me.rank}: rank {me.right} has no mailbox at {right} "
                f"(there are: {', '.join(sorted(_open)) or 'none'})"
            )
        with outbox.changed:
            outbox.sender = me
            outbox.changed.notify_all()
        transport = InprocTransport(me, outbox, self._inbox, timeout)
        try:
            self._await_sender(me, timeout)
        except CommunicationError:
            transport.close()
            raise
        return transport

    def _await_sender(self, me: Member, timeout: float) -> None:
        inbox = self._inbox
        with inbox.changed:
            inbox.changed.wait_for(lambda: inbox.sender, timeout)
        if inbox.sender is None:
            raise CommunicationError(
                f"rank {me.rank}: rank {me.left} did not connect within {timeout:.1f} s"
            )
        awaited = Member(me.left, me.world_size, me.generation, me.run, me.secret)
        if inbox.sender != awaited:
            raise Refused(f"rank {me.rank}: {inbox.sender} connected; awaited {awaited}")

    def close(self) -> None:
        """Take the mailbox out of the list."""
        _open.pop(self.address, None)


def listen(url: str) -> InprocListener:
    """A new mailbox under this name."""
    return InprocListener(url)
