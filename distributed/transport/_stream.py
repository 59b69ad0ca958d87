"""Frames over two connected stream sockets, one to the right neighbour and one from the left.

A transport over stream sockets brings `listen(url)`, which gives a StreamListener, and the
`dial(address, timeout)` that this one calls (see tcp.py); who is there is proved here.

One loop moves both directions, whatever either of them can take; it asks the kernel to wait only
when neither moves. Nothing is copied here: the kernel reads from and writes into the arrays.
"""

from __future__ import annotations

import contextlib
import select
import socket
import time
from collections.abc import Callable, Iterator, Sequence

from minicaffe.errors import CommunicationError

from ..auth import Member, dialer
from ..frames import (
    HEADER_SIZE,
    MAC_SIZE,
    Frame,
    Signature,
    check_header,
    check_payload,
    describe,
    seal,
)
from ..handshake import Conversation, Guests
from . import Transport

Dial = Callable[[str, float], socket.socket]  # (address, seconds) -> a connected socket

DIAL_AGAIN = 0.05  # seconds between two tries to reach a neighbour that does not listen yet


class StreamListener:
    """A listening socket that turns into a place in the ring; see Listener."""

    def __init__(self, sock: socket.socket, address: str, dial: Dial) -> None:
        """`sock` listens at `address`. `dial` connects, or raises OSError: a
        ConnectionRefusedError while the other side does not listen yet.
        """
        self.address = address
        self._guests = Guests(sock, address)
        self._dial = dial

    def transport(
        self, right: Conversation, left: Conversation, me: Member, timeout: float
    ) -> Transport:
        """What joins this rank to its neighbours, when both are proved."""
        made = StreamTransport(me, *self.links(right.socket, left.socket, me), timeout)
        if me.signed:
            made.sign(right.key, left.key)
        return made

    def links(
        self, right: socket.socket, left: socket.socket, me: Member
    ) -> tuple[Outgoing, Incoming]:
        """What moves frames over the two sockets, when both neighbours are proved."""
        return Outgoing(right, me.right), Incoming(left, me.left)

    @property
    def refused(self) -> int:
        """Connections turned away so far."""
        return self._guests.refused

    def join(self, right: str, me: Member, timeout: float, handshake_timeout: float) -> Transport:
        """See Listener.join. The kernel completes connections to a rank that does not accept yet,
        so dialing first and talking afterwards cannot lock the ring.
        """
        with contextlib.ExitStack() as hang_up:
            talk = self._call(right, me, time.monotonic() + timeout)
            hang_up.callback(talk.close)
            left = self._guests.meet(talk, me, timeout, handshake_timeout)
            hang_up.callback(left.close)
            transport = self.transport(talk, left, me, timeout)
            hang_up.pop_all()
        return transport

    def _call(self, right: str, me: Member, deadline: float) -> Conversation:
        """Connect to the right neighbour, as soon as it listens."""
        peer = f"rank {me.right} at {right}"
        while True:
            rest = deadline - time.monotonic()
            try:
                sock = self._dial(right, max(rest, 0.001))
            except OSError as error:
                if isinstance(error, ConnectionRefusedError) and rest > 0:
                    time.sleep(DIAL_AGAIN)
                    continue
                raise CommunicationError(f"rank {me.rank}: cannot reach {peer}: {error}") from error
            return Conversation(sock, dialer(me), peer, deadline)

    def close(self) -> None:
        """Stop listening and send everyone away."""
        self._guests.close()


class StreamTransport:
    """The transport over two links, which it owns from now on."""

    def __init__(self, me: Member, right: Outgoing, left: Incoming, timeout: float) -> None:
        self._me = me
        self._right = right
        self._left = left
        self._timeout = timeout
        self._polls: dict[tuple[int, int], select.poll] = {}  # by the events that are awaited

    def sign(self, right: bytes, left: bytes) -> None:
        """From now on frames carry MACs, by the keys of the two links."""
        self._right.sign(right)
        self._left.sign(left)

    def sendrecv(
        self, to_right: Sequence[Frame], from_left: Sequence[Frame], lead: int
    ) -> Iterator[int]:
        """See Transport.sendrecv."""
        sent = arrived = 0
        since = time.monotonic()
        while sent < len(to_right) or arrived < len(from_left):
            outgoing = to_right[sent] if sent < min(len(to_right), lead + arrived) else None
            awaited = from_left[arrived] if arrived < len(from_left) else None
            try:
                gone, there = self._move(outgoing, awaited)
            except CommunicationError as error:
                raise self._explain(error, outgoing, awaited, since) from error.__cause__
            if gone or there:
                since = time.monotonic()
            if there:
                yield arrived
            sent += gone
            arrived += there

    def _move(self, outgoing: Frame | None, awaited: Frame | None) -> tuple[bool, bool]:
        """Do what can be done with either frame; (the one is gone, the other is there)."""
        try:
            gone = outgoing is not None and self._right.push(outgoing)
        except CommunicationError:
            if awaited is not None:
                self._left.pull(awaited)  # of what is there already, the error may tell more
            raise
        there = awaited is not None and self._left.pull(awaited)
        if not gone and not there:
            right = self._right.event if outgoing is not None else 0
            left = self._left.event if awaited is not None else 0
            if not self._poll(right, left).poll(self._timeout * 1000):
                silent = self._right if awaited is None else self._left
                raise CommunicationError(f"{silent.peer} is silent")
        return gone, there

    def _poll(self, right: int, left: int) -> select.poll:
        """What waits for these events of the links, 0 for none."""
        if (right, left) not in self._polls:
            poll = self._polls[right, left] = select.poll()
            for link, event in ((self._right, right), (self._left, left)):
                if event:
                    poll.register(link.socket, event)
        return self._polls[right, left]

    def _explain(
        self, error: Exception, outgoing: Frame | None, awaited: Frame | None, since: float
    ) -> CommunicationError:
        doing = []
        if awaited is not None:
            doing.append(f"awaiting {describe(awaited)} from rank {self._me.left}")
        if outgoing is not None:
            doing.append(f"sending {describe(outgoing)} to rank {self._me.right}")
        waited = time.monotonic() - since
        return CommunicationError(
            f"rank {self._me.rank}: {error}; {' and '.join(doing)} for {waited:.1f} s"
        )

    def close(self) -> None:
        """Close both sockets, and wake a thread that waits for them."""
        for link in (self._right, self._left):
            with contextlib.suppress(OSError):
                link.socket.shutdown(socket.SHUT_RDWR)
            link.socket.close()


class Outgoing:
    """The link to the right neighbour, and how many bytes of the present frame are gone."""

    event = select.POLLOUT  # what to wait for when it can take no more

    def __init__(self, right: socket.socket, rank: int) -> None:
        right.setblocking(False)
        self.socket = right
        self.peer = f"rank {rank} {_where(right)}"
        self._signature: Signature | None = None
        self._header_size = HEADER_SIZE  # with the MAC
        self._header = b""
        self._gone = 0

    def sign(self, key: bytes) -> None:
        """Put a MAC into every frame from now on."""
        self._signature = Signature(key)
        self._header_size = HEADER_SIZE + MAC_SIZE

    def size(self, frame: Frame) -> int:
        """Bytes on the wire."""
        return self._header_size + len(frame.payload)

    def begin(self, frame: Frame) -> None:
        """Have the header of this frame, unless a part of it is gone already."""
        if not self._header:
            self._header = seal(frame)
            if self._signature is not None:
                self._header += self._signature.next(self._header, frame.payload)

    def push(self, frame: Frame) -> bool:
        """Send on; True when the frame is gone whole, False when the link is full."""
        self.begin(frame)
        size, header_size = self.size(frame), self._header_size
        try:
            while self._gone < size:
                if self._gone < header_size:
                    buffers = (self._header[self._gone :], frame.payload)
                    self._gone += self.socket.sendmsg(buffers)
                else:
                    self._gone += self.socket.send(frame.payload[self._gone - header_size :])
        except BlockingIOError:
            return False
        except OSError as error:
            raise CommunicationError(f"the link to {self.peer} broke ({error})") from error
        self._header = b""
        self._gone = 0
        return True


class Incoming:
    """The link from the left neighbour, and how many bytes of the awaited frame are there."""

    event = select.POLLIN  # what to wait for when it has no more

    def __init__(self, left: socket.socket, rank: int) -> None:
        left.setblocking(False)
        self.socket = left
        self.peer = f"rank {rank} {_where(left)}"
        self._signature: Signature | None = None
        self._header = bytearray(HEADER_SIZE)  # with the MAC
        self._there = 0

    def sign(self, key: bytes) -> None:
        """Await a MAC in every frame from now on."""
        self._signature = Signature(key)
        self._header = bytearray(HEADER_SIZE + MAC_SIZE)

    def size(self, frame: Frame) -> int:
        """Bytes on the wire."""
        return len(self._header) + len(frame.payload)

    def pull(self, awaited: Frame) -> bool:
        """Receive on; True when the frame is there whole, False when the link is empty."""
        try:
            size, header_size = self.size(awaited), len(self._header)
            while self._there < size:
                if self._there < header_size:
                    self._start(awaited)
                else:
                    rest = awaited.payload[self._there - header_size :]
                    self._count(awaited, self.socket.recv_into(rest))
        except BlockingIOError:
            return False
        except OSError as error:
            raise CommunicationError(f"the link from {self.peer} broke ({error})") from error
        self.arrive(awaited)
        return True

    def _start(self, awaited: Frame) -> None:
        rest = memoryview(self._header)[self._there :]
        self._count(awaited, self.socket.recvmsg_into((rest, awaited.payload))[0])

    def _count(self, awaited: Frame, received: int) -> None:
        if not received:
            raise CommunicationError(f"{self.peer} closed the link")
        self.advance(awaited, received)

    def advance(self, awaited: Frame, received: int) -> None:
        """So many bytes more are there; checks the header when it is whole."""
        before, self._there = self._there, self._there + received
        if before < len(self._header) <= self._there:
            self._check(check_header, awaited)

    def arrive(self, awaited: Frame) -> None:
        """The frame is there whole: checks the payload, and who has made it."""
        if self._signature is not None:
            self._check(self._signature.check, awaited)
        self._check(check_payload, awaited)
        self._there = 0

    def _check(self, check: Callable[[Frame, bytearray], None], awaited: Frame) -> None:
        try:
            check(awaited, self._header)
        except CommunicationError as error:
            raise CommunicationError(f"{self.peer} sent {error}") from None


def _where(sock: socket.socket) -> str:
    peer = sock.getpeername()
    return f"at {peer[0]}:{peer[1]}" if isinstance(peer, tuple) else "of this host"
