"""Arrays in messages: BlobProto to NumPy and back, with the extents of old files."""

import math
from collections.abc import Sequence

import numpy as np
from numpy.typing import ArrayLike, NDArray

from minicaffe.errors import ParseError

from . import minicaffe_pb2 as pb

_LEGACY = ("num", "channels", "height", "width")
_LENGTH_DELIMITED = 2  # wire type of a packed field


def _is_legacy(proto: pb.BlobProto) -> bool:
    return any(proto.HasField(name) for name in _LEGACY)


def blob_shape(proto: pb.BlobProto) -> tuple[int, ...]:
    """The shape of a stored blob: four extents if any of them is set, as in old files."""
    if _is_legacy(proto):
        return (proto.num, proto.channels, proto.height, proto.width)
    return tuple(proto.shape.dim)


def stored_count(proto: pb.BlobProto) -> int:
    """How many numbers a stored blob holds, whatever its shape says."""
    return len(proto.double_data or proto.data)


def shape_matches(proto: pb.BlobProto, shape: Sequence[int]) -> bool:
    """Whether a stored blob may be loaded into one of `shape`.

    The shapes must be equal; an old file's four extents are compared with the shape after ones
    are put before it, so that (1, 1, 1, 500) loads into (500,).
    """
    if not _is_legacy(proto):
        return blob_shape(proto) == tuple(shape)
    padding = (1,) * (len(_LEGACY) - len(shape))
    return blob_shape(proto) == padding + tuple(shape)


def blob_from_proto(proto: pb.BlobProto, diff: bool = False) -> NDArray[np.float32]:
    """The data (or the diff) of a stored blob, in its shape; doubles are rounded.

    Raises ParseError if there are more or fewer numbers than the shape has places.
    """
    stored = (proto.double_diff or proto.diff) if diff else (proto.double_data or proto.data)
    with np.errstate(over="ignore"):
        values = np.array(stored, np.float32)
    shape = blob_shape(proto)
    places = math.prod(shape)
    if min(shape, default=0) < 0 or values.size != places:
        raise ParseError(f"a stored blob of shape {shape} has {values.size} numbers, not {places}")
    return values.reshape(shape)


def array_to_blob_proto(array: ArrayLike, diff: ArrayLike | None = None) -> pb.BlobProto:
    """A message with the shape and the numbers of an array, and with those of `diff` if given."""
    values = np.asarray(array, np.float32)
    proto = pb.BlobProto()
    proto.shape.dim.extend(values.shape)
    proto.MergeFromString(_packed(pb.BlobProto.DATA_FIELD_NUMBER, values))
    if diff is not None:
        proto.MergeFromString(_packed(pb.BlobProto.DIFF_FIELD_NUMBER, np.asarray(diff, np.float32)))
    return proto


def _packed(number: int, values: NDArray[np.float32]) -> bytes:
    """A field of floats as protobuf writes it: key, length in bytes, little-endian numbers.

    Setting the field from a list would make a Python object of every number: 30 times slower.
    """
    data = values.astype("<f4", copy=False).tobytes()
    return _varint(number << 3 | _LENGTH_DELIMITED) + _varint(len(data)) + data


def _varint(value: int) -> bytes:
    """Seven bits a byte, the lowest first; all but the last byte have the high bit set."""
    octets = []
    while value > 0x7F:
        octets.append(value & 0x7F | 0x80)
        value >>= 7
    return bytes([*octets, value])
