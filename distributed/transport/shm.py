"""shm://: ranks of one host, whose frames go through memory that two neighbours share.

Each link has a ring of bytes, which the rank on the left writes and its right neighbour reads:

    memory     ... | read, free again | written, not read yet | free ... |     CAPACITY bytes
                                      ^ read                  ^ written       both count from 0

Who they are is proved over a socket, as for unix://, and the two counters travel on it, eight bytes
each: "so much is written" to the right, "so much is read" to the left. So either side can wait for
the other, hears at once when it dies, and sees no byte before the kernel has passed on the news of
it: no memory needs a fence of ours. The payload is copied twice, into the ring and out of it; a
socket does that too, and its system calls for each piece besides. Payloads of up to INLINE bytes go
over the socket itself, whole, between the counts: both sides know the size of the next frame, and
the last count of a frame is its end, so neither takes the one for the other.

The memory has no name (memfd_create, Linux): its file descriptor travels over the socket, and it is
gone with the two processes. It is sealed, so that neither can shrink it below the other.
"""

from __future__ import annotations

import contextlib
import fcntl
import mmap
import os
import select
import socket
import struct
from typing import Any

import numpy as np
from numpy.typing import NDArray

from minicaffe.errors import CommunicationError

from ..auth import Member
from ..frames import Frame
from ._stream import Incoming, Outgoing
from .unix import UnixListener, listener_for

CAPACITY = 4 << 20
PIECE = 256 << 10  # bytes after which the reader is told, so that both copy at the same time
INLINE = 64 << 10  # bytes of a payload up to which the news would cost more than the copies
SEALS = 0x1 | 0x2 | 0x4  # F_SEAL_SEAL, F_SEAL_SHRINK, F_SEAL_GROW of Linux's fcntl.h
ADD_SEALS, GET_SEALS = 1033, 1034

_COUNT = struct.Struct("!Q")

Bytes = NDArray[np.uint8]


class ShmListener(UnixListener):
    """A listener at a socket, whose links go through shared memory."""

    def links(
        self, right: socket.socket, left: socket.socket, me: Member
    ) -> tuple[Outgoing, Incoming]:
        """A ring to the right; that from the left comes over the socket."""
        return _Writer(right, me.right), _Reader(left, me.left)


def missing() -> str:
    """What this system lacks for it; see transport.missing."""
    if hasattr(os, "memfd_create"):
        return ""
    return "memory without a name needs Linux; take unix or tcp"


def listen(url: str) -> UnixListener:
    """Listen under a new name; what else the URL says is of no use here.

    Raises CommunicationError.
    """
    if missing():
        raise CommunicationError(f"'{url}': {missing()}")
    return listener_for(url, "shm", ShmListener)


class _Counters:
    """The socket beside a ring: it tells one count, and hears the other."""

    def __init__(self, sock: socket.socket, peer: str) -> None:
        self._socket = sock
        self._peer = peer
        self._rest = b""  # of a number that has come in part
        self.heard = 0

    def tell(self, count: int) -> bool:
        """Say how far this side is; False when the socket takes no more for now."""
        try:
            return self._socket.send(_COUNT.pack(count)) == _COUNT.size
        except BlockingIOError:
            return False
        except OSError as error:
            raise CommunicationError(f"the link to {self._peer} broke ({error})") from error

    def listen(self) -> bool:
        """Take in what the other side has said; whether it has said anything."""
        try:
            said = self._socket.recv(_COUNT.size - len(self._rest))
        except BlockingIOError:
            return False
        except OSError as error:
            raise CommunicationError(f"the link from {self._peer} broke ({error})") from error
        if not said:
            raise CommunicationError(f"{self._peer} closed the link")
        self._rest += said
        if len(self._rest) == _COUNT.size:
            (self.heard,) = _COUNT.unpack(self._rest)
            self._rest = b""
        return True


class _Writer(Outgoing):
    """The ring to the right neighbour: makes it, and writes."""

    def __init__(self, right: socket.socket, rank: int) -> None:
        super().__init__(right, rank)
        self._ring: Bytes | None = None  # until the first frame
        self._counters = _Counters(right, self.peer)
        self._written = self._told = 0

    def push(self, frame: Frame) -> bool:
        """See Outgoing.push."""
        if len(frame.payload) <= INLINE:
            self.event = select.POLLOUT
            return super().push(frame)
        if self._ring is None:
            self._ring = _new_ring(self.socket, self.peer)
        self.begin(frame)
        while self._gone < self.size(frame):
            room = CAPACITY - (self._written - self._counters.heard)
            if not room:
                if not self._counters.listen():
                    self.event = select.POLLIN
                    return False
                self._check()
                continue
            self._write(frame, min(room, PIECE))
            if self._written - self._told >= PIECE:
                self._tell()
        if not self._tell():
            self.event = select.POLLOUT
            return False
        self._header, self._gone = b"", 0
        return True

    def _write(self, frame: Frame, most: int) -> None:
        """Copy a piece of header or payload, up to the ring's end."""
        assert self._ring is not None
        at = self._written % CAPACITY
        of: Any = self._header[self._gone :]
        if self._gone >= self._header_size:
            of = frame.payload[self._gone - self._header_size :]
        size = min(len(of), most, CAPACITY - at)
        self._ring[at : at + size] = np.frombuffer(of[:size], np.uint8)
        self._written += size
        self._gone += size

    def _tell(self) -> bool:
        if self._told != self._written and self._counters.tell(self._written):
            self._told = self._written
        return self._told == self._written

    def _check(self) -> None:
        if not self._written - CAPACITY <= self._counters.heard <= self._written:
            raise CommunicationError(
                f"{self.peer} has read {self._counters.heard} bytes of {self._written}"
            )


class _Reader(Incoming):
    """The ring from the left neighbour: receives its memory, and reads."""

    def __init__(self, left: socket.socket, rank: int) -> None:
        super().__init__(left, rank)
        self._ring: Bytes | None = None
        self._counters = _Counters(left, self.peer)
        self._read = self._told = 0

    def pull(self, awaited: Frame) -> bool:
        """See Incoming.pull."""
        if len(awaited.payload) <= INLINE:
            return super().pull(awaited)
        if self._ring is None and not self._receive_ring():
            return False
        while self._there < self.size(awaited):
            available = self._counters.heard - self._read
            if available:
                self._take(awaited, available)
            elif not self._counters.listen():
                return False
            elif not 0 <= self._counters.heard - self._read <= CAPACITY:
                raise CommunicationError(
                    f"{self.peer} has written {self._counters.heard} bytes, {self._read} are read"
                )
        self.arrive(awaited)
        return True

    def _take(self, awaited: Frame, most: int) -> None:
        """Copy a piece of header or payload out, up to the ring's end."""
        assert self._ring is not None
        at = self._read % CAPACITY
        to = memoryview(self._header)[self._there :]
        if self._there >= len(self._header):
            to = awaited.payload[self._there - len(self._header) :]
        size = min(len(to), most, CAPACITY - at)
        np.frombuffer(to[:size], np.uint8)[...] = self._ring[at : at + size]
        self._read += size
        self.advance(awaited, size)
        # Seldom, so that what is told always finds room in the socket: the writer waits for it
        # when the ring is full, and by then it is due. Nobody may be there who wants to know it.
        if self._read - self._told >= CAPACITY // 4:
            with contextlib.suppress(CommunicationError):
                if self._counters.tell(self._read):
                    self._told = self._read

    def _receive_ring(self) -> bool:
        try:
            _, numbers, _, _ = socket.recv_fds(self.socket, _COUNT.size, 1)
        except BlockingIOError:
            return False
        except OSError as error:
            raise CommunicationError(f"the link from {self.peer} broke ({error})") from error
        if not numbers:
            raise CommunicationError(f"{self.peer} closed the link before it shared its memory")
        try:
            sealed = fcntl.fcntl(numbers[0], GET_SEALS) & SEALS == SEALS
            if not sealed or os.fstat(numbers[0]).st_size != CAPACITY:
                raise CommunicationError(f"{self.peer} shares memory of another size, or unsealed")
            self._ring = np.frombuffer(mmap.mmap(numbers[0], CAPACITY), np.uint8)
        finally:
            os.close(numbers[0])
        return True


def _new_ring(sock: socket.socket, peer: str) -> Bytes:
    """Memory for a ring, given to the other side of the socket. Raises CommunicationError."""
    try:
        number = os.memfd_create("minicaffe", os.MFD_ALLOW_SEALING)
    except OSError as error:
        raise CommunicationError(f"no memory to share with {peer}: {error}") from error
    try:
        os.ftruncate(number, CAPACITY)
        fcntl.fcntl(number, ADD_SEALS, SEALS)
        ring = np.frombuffer(mmap.mmap(number, CAPACITY), np.uint8)
        socket.send_fds(sock, [_COUNT.pack(0)], [number])
    except OSError as error:
        raise CommunicationError(f"the link to {peer} broke ({error})") from error
    finally:
        os.close(number)
    return ring
