"""mine://name: ranks as threads of one process; each link is a mailbox with room for few frames.

A mailbox that is full is what a full socket is: whoever wants to send has to wait, and if all ranks
of a ring wait to send before they receive, they wait for ever.
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

ROOM = 2  # frames in a mailbox

_open: WeakValueDictionary[str, Mailbox] = WeakValueDictionary()
_serial = itertools.count()

#: One lock for all mailboxes: so a rank can wait for its inbox or for its outbox at once.
CHANGED = threading.Condition()


class Mailbox:
    """Frames on their way from one rank to its right neighbour; use it with CHANGED held."""

    def __init__(self) -> None:
        self.frames: deque[tuple[bytes, bytes]] = deque()
        self.sender: Member | None = None
        self.closed = False

    @property
    def full(self) -> bool:
        """Whether there is no room for another frame."""
        return len(self.frames) >= ROOM

    def put(self, frame: Frame) -> None:
        """Copy a frame in."""
        assert not self.full, "a frame was put into a full mailbox"
        self.frames.append((seal(frame), bytes(frame.payload)))
        CHANGED.notify_all()

    def take(self) -> tuple[bytes, bytes]:
        """The oldest frame: its header and its payload."""
        message = self.frames.popleft()
        CHANGED.notify_all()
        return message

    def close(self) -> None:
        """Let nothing more in; frames that are inside can still be taken."""
        self.closed = True
        CHANGED.notify_all()


class MineTransport:
    """Two mailboxes: the right neighbour's, to send to, and one's own."""

    def __init__(self, me: Member, outbox: Mailbox, inbox: Mailbox, timeout: float) -> None:
        self._me = me
        self._outbox = outbox
        self._inbox = inbox
        self._timeout = timeout

    def sendrecv(
        self, to_right: Sequence[Frame], from_left: Sequence[Frame], lead: int
    ) -> Iterator[int]:
        """See Transport.sendrecv in distributed/transport/__init__.py, which is the contract.

        Sends and receives whatever can be, in any order, until all is done. What arrives is checked
        against the frame that is awaited, and its payload copied there, before its number is
        yielded. Errors are those of `_fault`.
        """
        sent = arrived = 0
        while sent < len(to_right) or arrived < len(from_left):
            outgoing = to_right[sent] if sent < min(len(to_right), lead + arrived) else None
            awaited = from_left[arrived] if arrived < len(from_left) else None
            gone, message = self._move(outgoing, awaited)
            sent += gone
            if awaited is not None and message is not None:
                header, payload = message
                try:
                    check_header(awaited, header)
                    awaited.payload[:] = payload
                    check_payload(awaited, header)
                except CommunicationError as error:
                    said = f"rank {self._me.left} sent {error}"
                    raise self._fault(said, outgoing, awaited, 0.0) from None
                yield arrived
                arrived += 1

    def _move(
        self, outgoing: Frame | None, awaited: Frame | None
    ) -> tuple[bool, tuple[bytes, bytes] | None]:
        """Wait until one of the two can move, then move what can: (sent?, what was received).

        A frame that is None need not move. A neighbour's closed mailbox ends the wait; frames that
        are in it are still taken first. Raises the error of `_fault` when neither frame has moved,
        because a mailbox is closed or `self._timeout` seconds have passed.
        """
        began = time.monotonic()
        out, inbox = self._outbox, self._inbox

        def ready() -> bool:
            going = outgoing is not None and (out.closed or not out.full)
            return going or (awaited is not None and (inbox.closed or len(inbox.frames) > 0))

        with CHANGED:
            CHANGED.wait_for(ready, self._timeout)
            sent = outgoing is not None and not out.closed and not out.full
            if sent and outgoing is not None:
                out.put(outgoing)
            message = inbox.take() if awaited is not None and inbox.frames else None
            if not sent and message is None:
                waited = time.monotonic() - began
                raise self._fault(self._culprit(outgoing, awaited), outgoing, awaited, waited)
        return sent, message

    def _culprit(self, outgoing: Frame | None, awaited: Frame | None) -> str:
        """Which neighbour keeps this rank waiting, and how: "rank 2 closed the link", "is silent".

        A closed link goes before silence. Of two silent neighbours it is the left one, as long as
        a frame is awaited.
        """
        if outgoing is not None and self._outbox.closed:
            return f"rank {self._me.right} closed the link"
        if awaited is not None and self._inbox.closed:
            return f"rank {self._me.left} closed the link"
        silent = self._me.left if awaited is not None else self._me.right
        return f"rank {silent} is silent"

    def _fault(
        self, what: str, outgoing: Frame | None, awaited: Frame | None, waited: float
    ) -> CommunicationError:
        """The error of this rank: what happened, which frames it was about, how long it waited.

            rank 1: rank 0 is silent; awaiting frame 3 of allreduce 17 (...) from rank 0 for 2.0 s
            rank 1: rank 2 closed the link; sending frame 0 of barrier 2 (...) to rank 2 for 0.1 s

        Both frames are named where both are there, joined by "and". `describe` has a frame's words.
        """
        doing = []
        if awaited is not None:
            doing.append(f"awaiting {describe(awaited)} from rank {self._me.left}")
        if outgoing is not None:
            doing.append(f"sending {describe(outgoing)} to rank {self._me.right}")
        return CommunicationError(
            f"rank {self._me.rank}: {what}; {' and '.join(doing)} for {waited:.1f} s"
        )

    def close(self) -> None:
        """Close both mailboxes."""
        with CHANGED:
            self._outbox.close()
            self._inbox.close()


class MineListener:
    """A mailbox that the left neighbour finds by its address."""

    def __init__(self, url: str) -> None:
        self.address = f"{url}/{next(_serial)}"
        self._inbox = Mailbox()
        _open[self.address] = self._inbox

    def join(
        self, right: str, me: Member, timeout: float, handshake_timeout: float
    ) -> MineTransport:
        """See Listener.join: drop one's name in the right neighbour's mailbox, await the left's."""
        outbox = _open.get(right)
        if me.signed or outbox is None:
            why = "frames of mine:// are not signed" if me.signed else f"no mailbox at {right}"
            raise CommunicationError(f"rank {me.rank}: {why}")
        inbox = self._inbox
        with CHANGED:
            outbox.sender = me
            CHANGED.notify_all()
            CHANGED.wait_for(lambda: inbox.sender, timeout)
        transport = MineTransport(me, outbox, inbox, timeout)
        awaited = Member(me.left, me.world_size, me.generation, me.run, me.secret)
        if inbox.sender != awaited:
            transport.close()
            came = f"{inbox.sender} connected" if inbox.sender else "nobody connected"
            raise Refused(f"rank {me.rank}: {came} within {timeout:.1f} s; awaited {awaited}")
        return transport

    def close(self) -> None:
        """Take the mailbox out of the list."""
        _open.pop(self.address, None)


def listen(url: str) -> MineListener:
    """A new mailbox under this name."""
    return MineListener(url)
