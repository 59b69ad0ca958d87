"""Frames: what travels from one rank to its right neighbour, a header of 32 bytes and a payload.

     0        4      5       6       8        12         16           24       28
    +--------+------+-------+-------+--------+----------+------------+--------+-------+---------
    | "MCR1" | kind | dtype | chunk | number | sequence | iteration  | length |  crc  | payload
    +--------+------+-------+-------+--------+----------+------------+--------+-------+---------
      4 bytes   1       1       2       4         4           8          4        4     length

Numbers are big-endian, the payload is the memory of the array. `sequence` counts the collectives
of this communicator, `number` the frames of one collective on one link. Both neighbours know the
schedule, so the receiver knows every field before it arrives: checking a header is comparing 28
bytes. `crc` is the CRC-32 of the payload where the kind carries the CHECKED bit, else 0.

A link whose frames are signed has 16 bytes more between header and payload, a MAC: HMAC-SHA256
of the frame's number on the link, its header and its payload, cut to 16 bytes, under the key that
the link's handshake has left (auth.py). Nobody else can make one, and one that was recorded is of
no use later, on another link or in another generation.
"""

from __future__ import annotations

import hmac
import struct
import zlib
from enum import IntEnum
from typing import NamedTuple

import numpy as np

from minicaffe.errors import CommunicationError

_HEADER = struct.Struct("!4sBBHIIQI")
_CRC = struct.Struct("!I")
_COUNT = struct.Struct("!Q")
_FIELDS = ("magic", "kind", "dtype", "chunk", "number", "sequence", "iteration", "length")

MAGIC = b"MCR1"
HEADER_SIZE = _HEADER.size + _CRC.size
MAC_SIZE = 16
MAX_RANKS = 1 << 16
CHECKED = 0x80

DTYPES = {
    np.dtype(np.float32): 1,
    np.dtype(np.float64): 2,
    np.dtype(np.int64): 3,
    np.dtype(np.uint8): 4,
}

#: float32 that travels in 2 bytes (compression.py); `dtype` says so, where the ranks disagree.
ROUNDED = {"bf16": 5, "fp16": 6}


class Kind(IntEnum):
    """The collective that a frame belongs to."""

    ALLREDUCE = 1
    REDUCE_SCATTER = 2
    ALLGATHER = 3
    BROADCAST = 4
    BARRIER = 5
    ADD_TO = 6
    DOUBLING = 7


class Frame(NamedTuple):
    """A header without its crc, and the memory to send from or to receive into."""

    header: bytes
    payload: memoryview

    @property
    def checked(self) -> bool:
        """Whether the payload travels with its CRC-32."""
        return bool(self.header[4] & CHECKED)

    @property
    def size(self) -> int:
        """Bytes on the wire, without a MAC."""
        return HEADER_SIZE + len(self.payload)


def make_frame(
    kind: int,
    dtype: int,
    chunk: int,
    number: int,
    sequence: int,
    iteration: int,
    payload: memoryview,
) -> Frame:
    """A frame of these fields; `kind` may carry the CHECKED bit.

    `dtype` is a value of DTYPES or of ROUNDED.
    """
    header = _HEADER.pack(
        MAGIC, kind, dtype, chunk, number, sequence & 0xFFFFFFFF, iteration, len(payload)
    )
    return Frame(header, payload)


def seal(frame: Frame) -> bytes:
    """The 32 bytes that go before the payload."""
    return frame.header + _CRC.pack(zlib.crc32(frame.payload) if frame.checked else 0)


def check_header(awaited: Frame, received: bytes | bytearray) -> None:
    """Raise CommunicationError, field by field, unless this is the header that was awaited."""
    if received[: _HEADER.size] == awaited.header:
        return
    got, expected = _HEADER.unpack_from(received), _HEADER.unpack(awaited.header)
    if got[0] != MAGIC:
        raise CommunicationError(f"no frame: it begins with {bytes(received[:8])!r}")
    wrong = [
        f"{field} {there} instead of {here}"
        for field, there, here in zip(_FIELDS, got, expected, strict=True)
        if there != here
    ]
    raise CommunicationError(f"a frame out of turn: {', '.join(wrong)}")


def check_payload(awaited: Frame, received: bytes | bytearray) -> None:
    """Raise CommunicationError if a checked payload does not have the crc of its header."""
    if not awaited.checked:
        return
    (stated,) = _CRC.unpack_from(received, _HEADER.size)
    found = zlib.crc32(awaited.payload)
    if found != stated:
        raise CommunicationError(f"a damaged payload: crc {found:08x} instead of {stated:08x}")


def describe(frame: Frame) -> str:
    """A frame in words: "frame 3 of allreduce 17 (iteration 5, chunk 1, 262144 bytes)"."""
    _, kind, _, chunk, number, sequence, iteration, length = _HEADER.unpack(frame.header)
    name = Kind(kind & ~CHECKED).name.lower()
    place = f"iteration {iteration}, chunk {chunk}, {length} bytes"
    return f"frame {number} of {name} {sequence} ({place})"


class Signature:
    """The MACs of one link's frames, in turn; either side has one."""

    def __init__(self, key: bytes) -> None:
        self._keyed = hmac.new(key, digestmod="sha256")
        self._count = 0

    def next(self, header: bytes | bytearray, payload: memoryview) -> bytes:
        """The MAC of the next frame, whose header is the first HEADER_SIZE bytes of `header`."""
        mac = self._keyed.copy()
        mac.update(_COUNT.pack(self._count) + header[:HEADER_SIZE])
        mac.update(payload)
        self._count += 1
        return mac.digest()[:MAC_SIZE]

    def check(self, awaited: Frame, received: bytes | bytearray) -> None:
        """Raise CommunicationError unless the next frame is the one that its maker signed."""
        expected = self.next(received, awaited.payload)
        if not hmac.compare_digest(expected, received[HEADER_SIZE:]):
            raise CommunicationError(
                "a frame with a wrong MAC: it was altered, replayed or put in on its way"
            )
