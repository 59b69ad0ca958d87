"""The two links of a rank over queue pairs: credits come from the right and go to the left.

A link is a queue pair and the TCP connection by which it was made, whose end is the neighbour's.
"""

from __future__ import annotations

import socket
import struct
import time
from collections import deque

import numpy as np

from minicaffe.errors import CommunicationError

from ...frames import HEADER_SIZE, MAC_SIZE, Frame, Signature, check_header, check_payload, seal
from .device import Place
from .queue_pair import QueuePair

_CREDIT = struct.Struct("!QI")  # where the payload goes, and the key to it; a header follows
_NOWHERE = Place(0, 0, 0, None)


class Link:
    """What both links have in common."""

    def __init__(self, pair: QueuePair, sock: socket.socket) -> None:
        self.pair = pair
        self.socket = sock
        self.peer = pair.peer
        self.hung_up: float | None = None  # since when
        self.signature: Signature | None = None  # where frames carry MACs

    @property
    def files(self) -> tuple[int, int]:
        """What becomes readable: the queue pair's events, and the connection."""
        return self.pair.fileno, self.socket.fileno()

    def hear(self) -> None:
        """The connection is readable: it has ended. Raises CommunicationError if it has not."""
        try:
            said = self.socket.recv(64)
        except BlockingIOError:
            return
        except OSError:
            said = b""
        if said:
            raise CommunicationError(f"{self.peer} sent {said!r} beside its card")
        self.hung_up = time.monotonic()

    def close(self) -> None:
        """Break the link, and leave the card."""
        self.pair.close()
        self.pair.device.release()
        self.socket.close()


class Outgoing(Link):
    """The link to the right neighbour."""

    def __init__(self, pair: QueuePair, sock: socket.socket) -> None:
        super().__init__(pair, sock)
        self._credits: deque[tuple[bytes, int, int]] = deque()
        self._gone = 0  # bytes of the present payload
        self._under_way: deque[tuple[int, Place]] = deque()  # done when so many requests are

    @property
    def idle(self) -> bool:
        """Whether the neighbour's card has everything that was pushed."""
        return self.pair.idle

    def push(self, frame: Frame | None) -> bool:
        """Take in credits and, if there is one for this frame, post it; True when it is whole."""
        for message in self.pair.progress():
            if len(message) < _CREDIT.size:
                raise CommunicationError(f"{self.peer} sent no credit: {message!r}")
            address, key = _CREDIT.unpack_from(message)
            self._credits.append((message[_CREDIT.size :], address, key))
        while self._under_way and self._under_way[0][0] <= self.pair.done:
            self._under_way.popleft()
        if frame is None or not self._credits:
            return False
        awaited, address, key = self._credits[0]
        if awaited == frame.header and frame.payload:
            place = self.pair.device.place(frame.payload)
            while self._gone < len(frame.payload):
                if not self.pair.room:
                    return False
                rest = len(frame.payload) - self._gone
                self._gone += self.pair.write(place, self._gone, rest, address, key)
                self._under_way.append((self.pair.posted, place))
        if not self.pair.room:
            return False
        header = seal(frame)
        if self.signature is not None:
            header += self.signature.next(header, frame.payload)
        self.pair.tell(header)
        self._credits.popleft()
        self._gone = 0
        return True


class Incoming(Link):
    """The link from the left neighbour."""

    def __init__(self, pair: QueuePair, sock: socket.socket) -> None:
        super().__init__(pair, sock)
        self._headers: deque[bytes] = deque()
        self._announced: deque[Place] = deque()

    @property
    def has_room(self) -> bool:
        """Whether a credit can be posted."""
        return self.pair.room > 0

    def announce(self, frame: Frame) -> None:
        """Tell the neighbour where this frame goes: from now on its card may write there."""
        place = self.pair.device.place(frame.payload) if frame.payload else _NOWHERE
        self._announced.append(place)
        self.pair.tell(_CREDIT.pack(place.address, place.remote_key) + frame.header)

    def pull(self, awaited: Frame | None) -> bool:
        """Take in headers; True when that of the awaited frame is there, and so its payload."""
        self._headers.extend(self.pair.progress())
        if awaited is None or not self._headers:
            return False
        header = self._headers.popleft()
        size = HEADER_SIZE + (MAC_SIZE if self.signature is not None else 0)
        try:
            if len(header) != size:
                raise CommunicationError(f"no frame: {len(header)} bytes instead of {size}")
            check_header(awaited, header)
            if self.signature is not None:
                self.signature.check(awaited, header)
            check_payload(awaited, header)
        except CommunicationError as error:
            raise CommunicationError(f"{self.peer} sent {error}") from None
        self._announced.popleft()
        return True


def span(memory: memoryview) -> tuple[int, int]:
    """Where memory begins and ends."""
    start = np.frombuffer(memory, np.uint8).ctypes.data if memory else 0
    return start, start + len(memory)
