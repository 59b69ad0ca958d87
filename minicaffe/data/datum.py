"""Pictures out of Datums: bytes, floats or encoded files, as (channels, height, width)."""

from __future__ import annotations

from collections.abc import Iterable
from functools import lru_cache
from itertools import chain
from typing import Any

import numpy as np
from google.protobuf.message import DecodeError
from numpy.typing import NDArray

from ..errors import DataError, extra
from ..proto import minicaffe_pb2 as pb
from .picture_size import check_size

AS_STORED, GRAY, COLOR = 0, 1, 3  # channels to decode an encoded picture to

Picture = NDArray[Any]


def picture_of(datum: pb.Datum, channels: int = AS_STORED) -> Picture:
    """The Datum's picture, uint8 (bytes) or float32 (float_data), colours in the order stored.

    `channels` says how an encoded one is decoded: GRAY, COLOR (blue, green, red) or AS_STORED; it
    has no effect on others. Raises DataError for a picture that is none.
    """
    if datum.encoded:
        return decode(datum.data, channels)
    shape = (datum.channels, datum.height, datum.width)
    if min(shape) <= 0:
        raise DataError(f"a picture of {_stored(shape)}")
    picture: Picture
    if datum.data:
        picture = np.frombuffer(datum.data, np.uint8)
    else:
        picture = np.array(datum.float_data, np.float32)
    if picture.size != shape[0] * shape[1] * shape[2]:
        raise DataError(f"{picture.size} values for a picture of {_stored(shape)}")
    return picture.reshape(shape)


def alike(
    values: Iterable[bytes], count: int
) -> tuple[NDArray[np.uint8], NDArray[np.float32]] | None:
    """The pictures (N, C, H, W) and labels (N,) of N serialised Datums that differ in these alone.

    A Datum is as protobuf writes it, field by field: channels, height, width, data, and what comes
    after, the label. So the first one tells where the data of all begin and end, and only what is
    new after them is parsed. None where that is not so, or the pictures are encoded.
    """
    rest = iter(values)
    first = next(rest)
    layout = _layout(first)
    if layout is None:
        return None
    head, shape, size = layout
    start, end = len(head), len(head) + size
    pixels, labels = np.empty((count, *shape), np.uint8), np.empty(count, np.float32)
    memory = pixels.reshape(-1).data
    for row, value in enumerate(chain([first], rest)):
        fits = value.startswith(head) and len(value) >= end
        label = _label_in(value[end:]) if fits else None
        if label is None:
            return None
        memory[row * size : (row + 1) * size] = memoryview(value)[start:end]
        labels[row] = label
    return pixels, labels


def _layout(value: bytes) -> tuple[bytes, tuple[int, int, int], int] | None:
    """What stands before a serialised Datum's data, and their shape and size in bytes."""
    datum = pb.Datum()
    try:
        datum.ParseFromString(value)
    except DecodeError:
        return None
    shape, size = (datum.channels, datum.height, datum.width), len(datum.data)
    if datum.encoded or min(shape) <= 0 or shape[0] * shape[1] * shape[2] != size:
        return None
    before = pb.Datum(channels=shape[0], height=shape[1], width=shape[2], data=datum.data)
    start = before.ByteSize() - size
    if before.SerializeToString() != value[: start + size]:
        return None
    return value[:start], shape, size


@lru_cache(maxsize=1 << 12)
def _label_in(rest: bytes) -> int | None:
    """The label in what comes after a Datum's data; None where anything else of weight is there."""
    datum = pb.Datum()
    try:
        datum.ParseFromString(rest)
    except DecodeError:
        return None
    plain = pb.Datum(label=datum.label, encoded=False)
    for name in ("label", "encoded"):
        if not datum.HasField(name):
            plain.ClearField(name)
    return datum.label if datum == plain else None


def _stored(shape: tuple[int, ...]) -> str:
    return "x".join(str(dim) for dim in shape)


def decode(file: bytes, channels: int = AS_STORED) -> Picture:
    """A JPEG, PNG ... as (C, H, W) uint8, blue first. Raises DataError for what cannot be read."""
    pixels = decode_pixels(file, channels)
    if pixels.dtype != np.uint8:
        raise DataError(f"an encoded picture of type {pixels.dtype}; 8 bits a colour are needed")
    return _channels_first(pixels)


def decode_pixels(file: bytes, channels: int = AS_STORED) -> Picture:
    """A JPEG, PNG ... as (H, W) or (H, W, C), blue first, of whatever type it is stored in."""
    cv2 = extra("cv2", "images", "an encoded picture")
    how = {GRAY: cv2.IMREAD_GRAYSCALE, COLOR: cv2.IMREAD_COLOR}.get(channels, cv2.IMREAD_UNCHANGED)
    if not file:
        raise DataError("an encoded picture of 0 bytes")
    check_size(file)
    try:
        pixels = cv2.imdecode(np.frombuffer(file, np.uint8), how)
    except cv2.error as error:
        raise DataError(f"an encoded picture that cannot be decoded: {error}") from error
    if pixels is None:
        raise DataError(f"an encoded picture of {len(file)} bytes that cannot be decoded")
    decoded: Picture = pixels
    return decoded


def resize(picture: Picture, height: int, width: int) -> Picture:
    """The picture (C, H, W) scaled to height x width, bilinear as OpenCV does it."""
    if picture.shape[1:] == (height, width):
        return picture
    cv2 = extra("cv2", "images", "resize")
    pixels = np.ascontiguousarray(picture.transpose(1, 2, 0))
    try:
        scaled = cv2.resize(pixels, (width, height), interpolation=cv2.INTER_LINEAR)
    except cv2.error as error:  # sides above 32767, sides of 0
        sides = f"{pixels.shape[0]} x {pixels.shape[1]} to {height} x {width}"
        raise DataError(f"a picture that cannot be scaled from {sides}: {error.err}") from error
    return _channels_first(scaled)


def _channels_first(pixels: Picture) -> Picture:
    if pixels.ndim == 2:
        return pixels[np.newaxis]
    return np.ascontiguousarray(pixels.transpose(2, 0, 1))
