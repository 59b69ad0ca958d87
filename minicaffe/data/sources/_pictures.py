"""From the bytes of a sample to its picture and its label: what sources of pictures agree on."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from ...errors import DataError
from ...proto import minicaffe_pb2 as pb
from ..datum import AS_STORED, COLOR, GRAY, Picture, decode, resize


class Pictures:
    """The pictures that a layer wants: decoded to its channels, and scaled if it says so.

    An encoded one is decoded to grey or colour as `transform_param.force_gray` and `force_color`
    say, else as `memory_data_param.channels` (1 or 3) needs it, else as it is stored;
    `memory_data_param.resize` scales all of them to the layer's height x width.
    """

    def __init__(self, param: pb.LayerParameter) -> None:
        self.wanted = param.memory_data_param
        self.channels = AS_STORED
        if param.transform_param.force_color:
            self.channels = COLOR
        elif param.transform_param.force_gray:
            self.channels = GRAY
        elif self.wanted.channels in (GRAY, COLOR):
            self.channels = self.wanted.channels

    def picture(self, data: bytes, encoded: bool, shape: tuple[int, int, int]) -> Picture:
        """The picture (C, H, W) in some bytes, uint8, scaled.

        `shape` is what is known of (channels, height, width); 0 stands for the layer's, if the
        picture is not encoded. It then has its pixels row by row, each with all its channels.
        Raises DataError where bytes and shape do not fit.
        """
        if encoded:
            picture = decode(data, self.channels)
            if all(shape[1:]) and picture.shape[1:] != shape[1:]:
                said = " x ".join(map(str, shape[1:]))
                raise DataError(f"a picture of {said} that is {_size(picture)} when it is decoded")
            return self.scaled(picture)
        if not all(shape[1:]):
            shape = (self.wanted.channels, self.wanted.height, self.wanted.width)
        return self.scaled(raw_picture(data, shape))

    def scaled(self, picture: Picture) -> Picture:
        """The picture in the size that the layer wants."""
        if self.wanted.resize:
            return resize(picture, self.wanted.height, self.wanted.width)
        return picture


def raw_picture(data: bytes, shape: tuple[int, int, int]) -> Picture:
    """(C, H, W) uint8 from bytes in the order height, width, channels. Raises DataError."""
    channels, height, width = shape
    if min(shape) <= 0 or channels * height * width != len(data):
        said = " x ".join(map(str, shape))
        raise DataError(f"{len(data)} bytes for a picture of {said} (channels, height, width)")
    pixels: NDArray[np.uint8] = np.frombuffer(data, np.uint8).reshape(height, width, channels)
    return np.ascontiguousarray(pixels.transpose(2, 0, 1))


def number_in(text: str, what: str) -> float:
    """The number that a text says; DataError for another text, for infinity and NaN."""
    try:
        number = float(text)
    except ValueError:
        number = math.nan
    if not math.isfinite(number):
        raise DataError(f"{what} must be a number, not {text[:40]!r}")
    return number


def _size(picture: Picture) -> str:
    return " x ".join(map(str, picture.shape[1:]))
