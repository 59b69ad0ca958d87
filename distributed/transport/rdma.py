"""rdma://host:port: cards write straight into the neighbour's arrays (InfiniBand, RoCE).

Two neighbours prove who they are over TCP at host:port, and tell each other where their cards are
to be found. From then on the TCP connection is silent; its end says that a neighbour has gone.

    rank r                                                     rank r + 1
                       <-- message: header, address, key       awaits a frame, and says where it
      its header is                                            goes: a credit
      the one awaited  --> write: the payload, from array to array, no copy
                       --> message: the frame's header         compares 28 bytes, as on the others

Messages are of 128 bytes at most and go by RDMA WRITE WITH IMMEDIATE (_verbs/queue_pair.py). A
payload is written only where a frame of the very same header is awaited: ranks that disagree do
not touch each other's memory, and the receiver finds the difference in the header that comes alone.

The query of the URL, or MINICAFFE_RDMA, chooses: rdma://10.0.0.7:0?device=mlx5_0,mlx5_1&port=1&gid=3
"""

from __future__ import annotations

import contextlib
import os
import select
import socket
import threading
import time
from collections import deque
from collections.abc import Callable, Iterator, Sequence

from minicaffe.errors import CommunicationError

from ..auth import Member
from ..frames import Frame, Signature, describe
from ..handshake import Conversation
from . import Transport, tcp
from ._stream import StreamListener
from ._verbs import cards
from ._verbs.device import opened
from ._verbs.links import Incoming, Outgoing, span
from ._verbs.queue_pair import CARD_SIZE, SLOTS, QueuePair

READY = b"ready"
LAST_WORDS = 0.1  # seconds that a frame may take to show after its sender has hung up


def missing() -> str:
    """What this machine lacks for RDMA: "", or one line that names it and the remedy."""
    try:
        return cards.missing(cards.wish_of(""))
    except CommunicationError as error:  # a wish that cannot be read
        return f"{cards.VARIABLE}: {error}"


def listen(url: str) -> RdmaListener:
    """Listen at a URL such as rdma://10.0.0.7:0?device=mlx5_0. Raises CommunicationError."""
    place, _, query = url.partition("?")
    wish = cards.wish_of(query)
    lacking = cards.missing(wish)
    if lacking:
        raise CommunicationError(f"'{url}': {lacking}")
    made = tcp.listener_for(_tcp(place), RdmaListener)
    made.wish = wish
    return made


class RdmaListener(StreamListener):
    """A listener by TCP, whose links go over cards."""

    wish = cards.Wish()

    def __init__(
        self, sock: socket.socket, address: str, dial: Callable[[str, float], socket.socket]
    ) -> None:
        super().__init__(sock, _rdma(address), lambda right, timeout: dial(_tcp(right), timeout))

    def transport(
        self, right: Conversation, left: Conversation, me: Member, timeout: float
    ) -> Transport:
        """Connect the cards of both links."""
        try:
            return self._connect(right, left, me, timeout)
        except CommunicationError as error:
            raise CommunicationError(f"rank {me.rank}: {error}") from error.__cause__

    def _connect(
        self, right: Conversation, left: Conversation, me: Member, timeout: float
    ) -> RdmaTransport:
        found = cards.choose(self.wish, left.socket.getsockname()[0])
        with contextlib.ExitStack() as on_error:
            ends = []
            for talk, rank, link in ((right, me.right, me.rank), (left, me.left, me.left)):
                sock = talk.socket
                device = opened(cards.card_of(found, link))
                on_error.callback(device.release)
                pair = QueuePair(device, f"rank {rank} at {_where(sock)}", timeout)
                on_error.callback(pair.close)
                ends.append((pair, sock))
            _introduce(ends, time.monotonic() + timeout)
            made = RdmaTransport(me, Outgoing(*ends[0]), Incoming(*ends[1]), timeout)
            if me.signed:
                made.sign(right.key, left.key)
            on_error.pop_all()
        return made


class RdmaTransport:
    """The transport over two links, which it owns from now on."""

    def __init__(self, me: Member, right: Outgoing, left: Incoming, timeout: float) -> None:
        self._me = me
        self._right = right
        self._left = left
        self._timeout = timeout
        self._in_use = threading.Lock()  # while verbs are called, and while they are awaited
        self._ending = threading.Lock()
        self._closed = False
        self._closing = os.eventfd(0, os.EFD_NONBLOCK)
        self._poll = select.poll()
        for number in (self._closing, *right.files, *left.files):
            self._poll.register(number, select.POLLIN)

    def sign(self, right: bytes, left: bytes) -> None:
        """From now on frames carry MACs, by the keys of the two links."""
        self._right.signature = Signature(right)
        self._left.signature = Signature(left)

    def sendrecv(
        self, to_right: Sequence[Frame], from_left: Sequence[Frame], lead: int
    ) -> Iterator[int]:
        """See Transport.sendrecv. It ends when the right neighbour's card has everything.

        Where several awaited frames share no memory, a later one may come while the caller has an
        earlier one.
        """
        sent = arrived = 0
        taken: deque[tuple[int, int]] = deque()  # the memory of frames that were announced
        since = time.monotonic()
        while sent < len(to_right) or arrived < len(from_left) or not self._right.idle:
            outgoing = to_right[sent] if sent < min(len(to_right), lead + arrived) else None
            awaited = from_left[arrived] if arrived < len(from_left) else None
            try:
                with self._in_use:
                    self._check_open()
                    more = self._announce(from_left, arrived, taken)
                    done = self._right.pair.done
                    gone, there = self._move(outgoing, awaited)
                    moved = more or gone or there or self._right.pair.done > done
                    if not moved:
                        self._wait(since, outgoing is not None, awaited is not None)
            except CommunicationError as error:
                raise self._explain(error, outgoing, awaited, since) from error.__cause__
            if moved:
                since = time.monotonic()
            if there:
                yield arrived
                taken.popleft()
            sent += gone
            arrived += there

    def _announce(
        self, frames: Sequence[Frame], arrived: int, taken: deque[tuple[int, int]]
    ) -> bool:
        """Tell the left neighbour where the next awaited frames go, as far as they may come."""
        before = len(taken)
        while len(taken) < min(SLOTS, len(frames) - arrived) and self._left.has_room:
            frame = frames[arrived + len(taken)]
            start, end = span(frame.payload)
            if any(start < other_end and other_start < end for other_start, other_end in taken):
                break
            self._left.announce(frame)
            taken.append((start, end))
        return len(taken) > before

    def _move(self, outgoing: Frame | None, awaited: Frame | None) -> tuple[bool, bool]:
        """Do what can be done with either frame; (the one is posted, the other is there)."""
        try:
            gone = self._right.push(outgoing)
        except CommunicationError:
            if awaited is not None:
                self._left.pull(awaited)  # of what is there already, the error may tell more
            raise
        return gone, self._left.pull(awaited)

    def _wait(self, since: float, sending: bool, awaiting: bool) -> None:
        """Let something happen: no completion and no word is there now."""
        now = time.monotonic()
        until = since + self._timeout
        if sending and self._right.hung_up is not None:
            raise CommunicationError(f"{self._right.peer} closed the link")
        if awaiting and self._left.hung_up is not None:
            until = min(until, self._left.hung_up + LAST_WORDS)
            if now >= until:
                raise CommunicationError(f"{self._left.peer} closed the link")
        ready = self._poll.poll(max(until - now, 0) * 1000)
        if not ready and until == since + self._timeout:
            silent = self._left if awaiting else self._right
            raise CommunicationError(f"{silent.peer} is silent")
        numbers = [number for number, _ in ready]
        for link in (self._right, self._left):
            events, connection = link.files
            if events in numbers:
                link.pair.wake()
            if connection in numbers:
                link.hear()
                if link.hung_up is not None:
                    self._poll.unregister(connection)

    def _check_open(self) -> None:
        if self._closed:
            raise CommunicationError("the ring is closed")

    def _explain(
        self, error: Exception, outgoing: Frame | None, awaited: Frame | None, since: float
    ) -> CommunicationError:
        doing = []
        if awaited is not None:
            doing.append(f"awaiting {describe(awaited)} from rank {self._me.left}")
        if outgoing is not None:
            doing.append(f"sending {describe(outgoing)} to rank {self._me.right}")
        doing = doing or [f"until rank {self._me.right} has everything"]
        waited = time.monotonic() - since
        return CommunicationError(
            f"rank {self._me.rank}: {error}; {' and '.join(doing)} for {waited:.1f} s"
        )

    def close(self) -> None:
        """Break both links, and wake a thread that waits for them."""
        with self._ending:
            if self._closed:
                return
            self._closed = True
        os.eventfd_write(self._closing, 1)
        with self._in_use:
            self._right.close()
            self._left.close()
            os.close(self._closing)


def _introduce(ends: Sequence[tuple[QueuePair, socket.socket]], deadline: float) -> None:
    """Exchange cards with both neighbours, and wait until both can receive.

    Raises CommunicationError.
    """
    for pair, sock in ends:
        _say(pair, sock, pair.card, deadline)
    for pair, sock in ends:
        pair.connect(_hear(pair, sock, CARD_SIZE, deadline))
    for pair, sock in ends:
        _say(pair, sock, READY, deadline)
    for pair, sock in ends:
        if _hear(pair, sock, len(READY), deadline) != READY:
            raise CommunicationError(f"{pair.peer} is not ready to receive by RDMA")
        sock.setblocking(False)


def _say(pair: QueuePair, sock: socket.socket, words: bytes, deadline: float) -> None:
    sock.settimeout(max(deadline - time.monotonic(), 0.001))
    try:
        sock.sendall(words)
    except OSError as error:
        raise _parted(pair, error) from error


def _hear(pair: QueuePair, sock: socket.socket, size: int, deadline: float) -> bytes:
    heard = b""
    while len(heard) < size:
        sock.settimeout(max(deadline - time.monotonic(), 0.001))
        try:
            more = sock.recv(size - len(heard))
        except OSError as error:
            raise _parted(pair, error) from error
        if not more:
            raise _parted(pair, ConnectionResetError())
        heard += more
    return heard


def _parted(pair: QueuePair, error: OSError) -> CommunicationError:
    if isinstance(error, ConnectionError):
        return CommunicationError(f"{pair.peer} closed the link before its card was connected")
    return CommunicationError(f"{pair.peer} does not tell of its card ({error})")


def _where(sock: socket.socket) -> str:
    host, port = sock.getpeername()[:2]
    return f"{host}:{port}"


def _rdma(address: str) -> str:
    return address.replace("tcp://", "rdma://", 1)


def _tcp(address: str) -> str:
    return address.replace("rdma://", "tcp://", 1)
