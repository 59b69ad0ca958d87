"""What SequenceFiles are made of: Hadoop's numbers, byte arrays and texts, and its codecs."""

from __future__ import annotations

import bz2
import struct
import zlib
from collections.abc import Callable
from typing import Any, NamedTuple

from ..errors import DataError

BYTES, TEXT = (f"org.apache.hadoop.io.{name}" for name in ("BytesWritable", "Text"))
GZIP = 16 + zlib.MAX_WBITS  # zlib's way of asking for gzip's frame


class Codec(NamedTuple):
    """How a stream is made and read."""

    compressor: Callable[[], Any]
    decompressor: Callable[[], Any]


CODECS = {
    "DefaultCodec": Codec(zlib.compressobj, zlib.decompressobj),
    "DeflateCodec": Codec(zlib.compressobj, zlib.decompressobj),
    "GzipCodec": Codec(
        lambda: zlib.compressobj(wbits=GZIP), lambda: zlib.decompressobj(wbits=GZIP)
    ),
    "BZip2Codec": Codec(bz2.BZ2Compressor, bz2.BZ2Decompressor),
}


def compressed(codec: str, data: bytes | bytearray) -> bytes:
    """The data as one stream of a codec."""
    stream = CODECS[codec].compressor()
    written: bytes = stream.compress(data) + stream.flush()
    return written


def expanded(codec: str, data: bytes, limit: int) -> bytes:
    """What streams of a codec, one after the other, hold; DataError for more than `limit` bytes."""
    out = bytearray()
    try:
        while data:
            stream = CODECS[codec].decompressor()
            out += stream.decompress(data, limit + 1 - len(out))
            if len(out) > limit:
                raise DataError(f"more than the {limit} bytes that were announced")
            if not stream.eof:
                raise DataError(f"{codec}: the compressed data end too early")
            data = stream.unused_data
    except (OSError, zlib.error) as error:
        raise DataError(f"{codec}: {error}") from error
    return bytes(out)


def pack_number(value: int) -> bytes:
    """A number as Hadoop writes it: one byte from -112 to 127, else a length and 1 to 8 bytes."""
    if -112 <= value <= 127:
        return struct.pack("b", value)
    negative = value < 0
    raw = (~value if negative else value).to_bytes(8, "big").lstrip(b"\0")
    return struct.pack("b", (-120 if negative else -112) - len(raw)) + raw


def number_size(first: int) -> int:
    """How many bytes a number has, from its first one, 0 to 255."""
    signed = first - 256 if first > 127 else first
    if signed >= -112:
        return 1
    return 1 + (-112 - signed if signed >= -120 else -120 - signed)


def unpack_number(data: bytes, at: int = 0) -> tuple[int, int]:
    """The number that begins at a byte, and where it ends. DataError where the data end before."""
    size = number_size(data[at]) if at < len(data) else 1
    if at + size > len(data):
        raise DataError("the data end within a number")
    first = struct.unpack_from("b", data, at)[0]
    if size == 1:
        return first, at + 1
    value = int.from_bytes(data[at + 1 : at + size], "big")
    return ~value if first < -120 else value, at + size


def unpack_numbers(data: bytes) -> list[int]:
    """All the numbers of some bytes; DataError for one below 0."""
    found, at = [], 0
    while at < len(data):
        value, at = unpack_number(data, at)
        if value < 0:
            raise DataError(f"a length of {value}")
        found.append(value)
    return found


def pack_bytes(value: bytes) -> bytes:
    """A BytesWritable."""
    return struct.pack(">i", len(value)) + value


def plain_value(kind: str, stored: bytes) -> bytes:
    """The bytes in a BytesWritable or Text, the whole of `stored`. Raises DataError."""
    if kind == BYTES:
        length, start = (int.from_bytes(stored[:4], "big"), 4) if len(stored) >= 4 else (-1, 0)
    else:
        length, start = unpack_number(stored)
    if length != len(stored) - start:
        raise DataError(f"a {kind.rpartition('.')[2]} of {length} bytes in {len(stored) - start}")
    return stored[start:]


def pack_text(text: str) -> bytes:
    """A Text."""
    raw = text.encode()
    return pack_number(len(raw)) + raw
