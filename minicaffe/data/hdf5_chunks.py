"""Chunks of HDF5 datasets, unpacked here: deflate, shuffle and Fletcher's checksum, sizes checked.

libhdf5 gives each chunk as it is stored. A chunk that holds more or fewer bytes than its shape says
is damaged; in libhdf5's own filters it would be a write or read beyond the end of a buffer, or
memory without limit.
"""

from __future__ import annotations

import math
import zlib
from typing import Any

import numpy as np
from numpy.typing import NDArray

DEFLATE, SHUFFLE, FLETCHER32 = 1, 2, 3  # the numbers that HDF5 gives its filters
CHECKSUM = 4  # bytes


def read_chunks(dataset: Any, file_size: int) -> NDArray[Any]:
    """The values of a chunked dataset of h5py; where no chunk is stored, its fill value.

    Raises ValueError for what is damaged, and for other filters.
    """
    plist = dataset.id.get_create_plist()
    filters = [plist.get_filter(index) for index in range(plist.get_nfilters())]
    for number, _, _, name in filters:
        if number not in (DEFLATE, SHUFFLE, FLETCHER32):
            word = name.decode(errors="replace").rstrip("\0")
            raise ValueError(f"filter {number} ({word}) is not read: store it with gzip or plain")
    size = math.prod(dataset.chunks) * dataset.dtype.itemsize
    values = np.full(dataset.shape, dataset.fillvalue, dataset.dtype)
    for index in range(dataset.id.get_num_chunks()):
        info = dataset.id.get_chunk_info(index)
        at = info.chunk_offset
        inside = all(
            0 <= first < extent and first % step == 0
            for first, extent, step in zip(at, dataset.shape, dataset.chunks, strict=True)
        )
        if not inside or info.byte_offset is None or info.byte_offset + info.size > file_size:
            raise ValueError(f"the chunk at {at} lies outside")
        mask, raw = dataset.id.read_direct_chunk(at)
        for place in reversed(range(len(filters))):
            if not mask >> place & 1:
                raw = _undone(filters[place][0], raw, size, dataset.dtype.itemsize)
        if len(raw) != size:
            raise ValueError(f"the chunk at {at} has {len(raw)} bytes, not {size}")
        chunk = np.frombuffer(raw, dataset.dtype).reshape(dataset.chunks)
        target = values[tuple(map(slice, at, np.add(at, dataset.chunks)))]
        target[...] = chunk[tuple(map(slice, target.shape))]
    return values


def _undone(number: int, raw: bytes, size: int, itemsize: int) -> bytes:
    """What a filter was given, of at most `size` bytes and a checksum."""
    if number == DEFLATE:
        unpacked = zlib.decompressobj()
        return unpacked.decompress(raw, size + CHECKSUM + 1)
    if number == SHUFFLE:
        whole = len(raw) // itemsize * itemsize
        planes = np.frombuffer(raw[:whole], np.uint8).reshape(itemsize, -1)
        return planes.T.tobytes() + raw[whole:]
    if len(raw) < CHECKSUM:
        raise ValueError("a chunk is shorter than its checksum")
    data, stored = raw[:-CHECKSUM], int.from_bytes(raw[-CHECKSUM:], "little")
    for wanted, found in zip((stored >> 16, stored & 0xFFFF), _fletcher(data), strict=True):
        if (wanted - found) % 65535:
            raise ValueError("the checksum of a chunk does not fit it")
    return data


# w_i: n words of 16 bits, big endian;  low = sum_i w_i,  high = sum_i (n - i) w_i,  modulo 65535
def _fletcher(data: bytes) -> tuple[int, int]:
    """The two sums of Fletcher's checksum, as HDF5 takes them."""
    words = np.frombuffer(data + b"\0" * (len(data) % 2), ">u2").astype(np.uint64)
    weights = np.arange(len(words), 0, -1, dtype=np.uint64) % np.uint64(65535)
    high = (words * weights % np.uint64(65535)).sum(dtype=np.uint64)
    return int(high), int(words.sum(dtype=np.uint64))
