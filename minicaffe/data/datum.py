"""Pictures out of Datums: bytes, floats or encoded files, as (channels, height, width)."""

from __future__ import annotations

from typing import Any

import numpy as np
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
