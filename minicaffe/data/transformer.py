"""Caffe's DataTransformer: scale, mean, crop and mirror, from a picture to a blob's values."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..errors import DataError
from ..proto import minicaffe_pb2 as pb

Picture = NDArray[Any]  # (channels, height, width), uint8 or float32
Shape = tuple[int, ...]


class DataTransformer:
    """y = (x - mean) * scale of a window of the picture, perhaps mirrored, in float32.

    `transform_param`: `scale` (1); `mean_file` (of the whole picture's shape, cut like the picture)
    or `mean_value` (one, or one a channel); `crop_size` (0: none), at a random place in TRAIN, in
    the middle in TEST; `mirror` (false), at random in both phases.

    Chance comes from outside, `draws` whole numbers of 32 bits a picture, in Caffe's order: one for
    mirror, two for the window's row and column. The class keeps no state, so a picture, its draws
    and the parameters determine the result.
    """

    def __init__(self, param: pb.TransformationParameter, phase: int) -> None:
        if param.mean_file and param.mean_value:
            raise DataError("transform_param: mean_file and mean_value exclude each other")
        if param.force_color and param.force_gray:
            raise DataError("transform_param: force_color and force_gray exclude each other")
        self.param = param
        self.scale = np.float32(param.scale)
        self.crop = int(param.crop_size)
        self.random_window = phase == pb.TRAIN and self.crop > 0
        self.mean: NDArray[np.float32] | None = None
        if param.mean_file:
            self.mean = read_mean(param.mean_file)
        elif param.mean_value:
            self.mean = np.array(param.mean_value, np.float32).reshape(-1, 1, 1)

    @property
    def draws(self) -> int:
        """How many random draws a picture takes: 0 to 3."""
        return bool(self.param.mirror) + 2 * self.random_window

    def output_shape(self, shape: Shape) -> Shape:
        """(C, h, w) of what becomes of a (C, H, W) picture; DataError where it does not fit."""
        if len(shape) != 3:
            raise DataError(f"a picture has channels, height and width, not shape {shape}")
        channels, height, width = shape
        if min(height, width) < self.crop:
            raise DataError(f"crop_size {self.crop} is larger than the picture, {height} x {width}")
        if self.param.mean_file and self.mean is not None and self.mean.shape != shape:
            raise DataError(
                f"mean_file {self.param.mean_file} has shape {self.mean.shape},"
                f" the picture has {shape}"
            )
        if self.param.mean_value and len(self.param.mean_value) not in (1, channels):
            raise DataError(
                f"{len(self.param.mean_value)} mean_value given for {channels} channels:"
                " give one, or one a channel"
            )
        return (channels, self.crop or height, self.crop or width)

    def transform(
        self, picture: Picture, out: NDArray[np.float32], draws: Sequence[int] | NDArray[np.uint32]
    ) -> None:
        """Write the transformed picture (C, H, W) into `out`, of shape `output_shape`.

        Where no draws are taken, both may have an axis more in front: many pictures at once.
        """
        height, width = picture.shape[-2:]
        out_height, out_width = out.shape[-2:]
        mirrored = bool(self.param.mirror) and int(draws[0]) % 2 == 1
        if self.random_window:
            top = int(draws[-2]) % (height - out_height + 1)
            left = int(draws[-1]) % (width - out_width + 1)
        else:
            top, left = (height - out_height) // 2, (width - out_width) // 2
        window = (..., slice(top, top + out_height), slice(left, left + out_width))
        target = out[..., ::-1] if mirrored else out
        np.copyto(target, picture[window], casting="same_kind")  # a ufunc would cast by a buffer
        if self.mean is not None:
            target -= self.mean[window] if self.param.mean_file else self.mean
        if self.scale != 1:
            target *= self.scale


def read_mean(path: str) -> NDArray[np.float32]:
    """The mean picture of a .binaryproto, (C, H, W). Raises DataError."""
    from ..proto.blob_proto import blob_from_proto

    proto = pb.BlobProto()
    try:
        with open(path, "rb") as file:
            proto.ParseFromString(file.read())
        mean = blob_from_proto(proto)
    except OSError as error:
        raise DataError(f"cannot read mean_file {path}: {error.strerror}") from error
    except Exception as error:
        raise DataError(f"mean_file {path} holds no mean picture: {error}") from error
    if mean.ndim < 3 or any(dim != 1 for dim in mean.shape[:-3]):
        raise DataError(f"mean_file {path} holds shape {mean.shape}, not one picture (C, H, W)")
    return np.ascontiguousarray(mean.reshape(mean.shape[-3:]), np.float32)
