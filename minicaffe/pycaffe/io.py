"""pycaffe's `caffe.io`: arrays in messages, pictures in arrays, and a net's input from a picture.

Pictures are (height, width, channels), red first, float32 from 0 to 1, as pycaffe has them. What
was repaired on the way stands in docs/differences.md.
"""

from __future__ import annotations

import os
import re
from collections.abc import Mapping, Sequence
from typing import Any, BinaryIO

import numpy as np
from numpy.typing import ArrayLike, NDArray

from ..data.datum import decode_pixels, picture_of
from ..data.image_list import read_file
from ..errors import DataError, extra
from ..proto import minicaffe_pb2 as pb
from ..proto.blob_proto import array_to_blob_proto, blob_from_proto
from .interpolation import LINEAR, resize_planes

caffe_pb2 = pb  # pycaffe scripts say caffe.io.caffe_pb2

Array = NDArray[Any]
Floats = NDArray[np.float32]

SECONDS = 30.0  # that a server of a picture may be silent
LUMINANCE = np.array([0.2125, 0.7154, 0.0721], np.float32)  # of red, green, blue (scikit-image)

# --- messages ----------------------------------------------------------------------------------


def blobproto_to_array(blob: pb.BlobProto, return_diff: bool = False) -> Floats:
    """The data (or the diff) of a BlobProto, in its shape. Raises ParseError for a damaged one."""
    return blob_from_proto(blob, diff=return_diff)


def array_to_blobproto(arr: ArrayLike, diff: ArrayLike | None = None) -> pb.BlobProto:
    """A BlobProto of an array of any shape, and of a diff of the same shape if given."""
    if diff is not None and np.shape(diff) != np.shape(arr):
        raise DataError(f"data has shape {np.shape(arr)}, its diff {np.shape(diff)}")
    return array_to_blob_proto(arr, diff)


def arraylist_to_blobprotovector_str(arraylist: Sequence[ArrayLike]) -> bytes:
    """Arrays as the bytes of a BlobProtoVector."""
    blobs = [array_to_blobproto(array) for array in arraylist]
    return pb.BlobProtoVector(blobs=blobs).SerializeToString()


def blobprotovector_str_to_arraylist(str: bytes) -> list[Floats]:
    """The arrays in the bytes of a BlobProtoVector. Raises DataError for other bytes."""
    from google.protobuf.message import DecodeError

    vector = pb.BlobProtoVector()
    try:
        vector.ParseFromString(str)
    except DecodeError as error:
        raise DataError(f"{len(str)} bytes that are no BlobProtoVector: {error}") from error
    return [blobproto_to_array(blob) for blob in vector.blobs]


def array_to_datum(arr: Array, label: int | None = None) -> pb.Datum:
    """A Datum of a (channels, height, width) array: bytes for uint8, else floats."""
    if arr.ndim != 3:
        raise DataError(f"a Datum holds channels, height and width, not shape {arr.shape}")
    channels, height, width = arr.shape
    datum = pb.Datum(channels=channels, height=height, width=width)
    if arr.dtype == np.uint8:
        datum.data = arr.tobytes()
    else:
        datum.float_data.extend(arr.astype(np.float32).ravel().tolist())
    if label is not None:
        datum.label = int(label)
    return datum


def datum_to_array(datum: pb.Datum) -> Array:
    """The (channels, height, width) array of a Datum; encoded pictures are decoded, blue first.

    Raises DataError for a Datum whose values do not fill its shape.
    """
    return picture_of(datum)


# --- pictures ----------------------------------------------------------------------------------


def load_image(filename: str | os.PathLike[str] | BinaryIO, color: bool = True) -> Floats:
    """A picture as (height, width, 3), red, green, blue, from 0 to 1; alpha is left out.

    `filename`: a file's name, an open file, or what begins with http://, https:// or file://.
    `color=False`: (height, width, 1), colours weighed 0.2125, 0.7154, 0.0721. Grey files are
    repeated three times for `color`. Raises DataError for a file that is no picture.
    """
    try:
        pixels = decode_pixels(_bytes_of(filename))
    except DataError as error:
        raise DataError(f"{filename}: {error}") from error
    image = pixels.astype(np.float32)
    if np.issubdtype(pixels.dtype, np.integer):
        image /= np.iinfo(pixels.dtype).max
    if image.ndim == 2:
        return np.tile(image[:, :, np.newaxis], (1, 1, 3 if color else 1))
    image = np.ascontiguousarray(image[:, :, 2::-1])  # blue, green, red (, alpha)
    return image if color else (image @ LUMINANCE)[:, :, np.newaxis]


def _bytes_of(picture: str | os.PathLike[str] | BinaryIO) -> bytes:
    if not isinstance(picture, str | os.PathLike):
        return picture.read()
    if not re.match("(https?|file)://", str(picture)):
        return read_file(picture, "load_image")
    from urllib.request import urlopen

    try:
        with urlopen(str(picture), timeout=SECONDS) as answer:
            content: bytes = answer.read()
            return content
    except OSError as error:
        raise DataError(f"load_image: cannot read {picture}: {error}") from error


def resize_image(im: Array, new_dims: Sequence[int], interp_order: int = LINEAR) -> Floats:
    """A picture (H, W, K) resized to `new_dims` = (height, width), float32.

    As pycaffe with scikit-image 0.19: for 1 or 3 channels the middles of pixels are what is
    interpolated, pictures that shrink are smoothed first, beyond the border lies the picture's
    smallest value; other numbers of channels are interpolated from corner to corner, without
    smoothing. `interp_order`: 1 linear, 0 nearest; 2 to 5, splines, by scikit-image itself. Raises
    DataError for others.
    """
    height, width = (int(dim) for dim in new_dims)
    if im.ndim != 3 or im.size == 0 or min(height, width) < 1:
        raise DataError(f"cannot resize a picture of shape {im.shape} to {height} x {width}")
    if interp_order not in range(6):
        raise DataError(f"interp_order {interp_order}: 0 (nearest), 1 (linear) to 5 is expected")
    if interp_order > LINEAR:
        return _resized_by_splines(im, height, width, interp_order)
    if im.shape[-1] not in (1, 3):
        planes = im.astype(np.float64)
        return resize_planes(planes, height, width, interp_order, centred=False).astype(np.float32)
    low, high = float(im.min()), float(im.max())
    if low == high:
        return np.full((height, width, im.shape[-1]), low, np.float32)
    unit = (im - low) / (high - low)
    resized = resize_planes(unit, height, width, interp_order, centred=True)
    return (resized.clip(0, 1) * (high - low) + low).astype(np.float32)


def _resized_by_splines(im: Array, height: int, width: int, order: int) -> Floats:
    """By scikit-image for 1 or 3 channels, from corner to corner by SciPy for others."""
    if im.shape[-1] not in (1, 3):
        zoom = extra("scipy.ndimage", "skimage", "a resize by splines").zoom
        factors = height / im.shape[0], width / im.shape[1], 1
        zoomed: Floats = zoom(im, factors, order=order).astype(np.float32)
        return zoomed
    transform = extra("skimage.transform", "skimage", "a resize by splines")
    low, high = float(im.min()), float(im.max())
    if low == high:
        return np.full((height, width, im.shape[-1]), low, np.float32)
    unit = (im - low) / (high - low)
    resized = transform.resize(unit, (height, width), order=order, mode="constant")
    return np.asarray(resized * (high - low) + low, np.float32)


def __getattr__(name: str) -> Any:
    """What pycaffe's module imports and scripts take from it: `resize`, `skimage`, `zoom`."""
    purpose = f"caffe.io.{name}"
    if name == "resize":
        return extra("skimage.transform", "skimage", purpose).resize
    if name == "zoom":
        return extra("scipy.ndimage", "skimage", purpose).zoom
    if name == "skimage":
        extra("skimage.io", "skimage", purpose)
        return extra("skimage", "skimage", purpose)
    raise AttributeError(f"module '{__name__}' has no attribute '{name}'")


def oversample(images: Sequence[Array], crop_dims: Sequence[int]) -> Floats:
    """Ten crops (height, width) of each picture: four corners, the middle, then their mirrors.

    Pictures (H, W, K) of one shape -> (10 N, height, width, K). Raises DataError for a crop that
    is larger than the pictures.
    """
    height, width, channels = images[0].shape
    crop_height, crop_width = (int(dim) for dim in crop_dims)
    if crop_height > height or crop_width > width:
        raise DataError(f"crops of {crop_height} x {crop_width} from {height} x {width} pictures")
    bottom, right = height - crop_height, width - crop_width
    corners = [(0, 0), (0, right), (bottom, 0), (bottom, right), (bottom // 2, right // 2)]
    crops = np.empty((len(images), 10, crop_height, crop_width, channels), np.float32)
    for image, ten in zip(images, crops, strict=True):
        for number, (top, left) in enumerate(corners):
            ten[number] = image[top : top + crop_height, left : left + crop_width]
        ten[5:] = ten[:5, :, ::-1]
    return crops.reshape(-1, crop_height, crop_width, channels)


# --- from a picture to a net's input ------------------------------------------------------------


class Transformer:
    """What turns pictures into a net's inputs, for each input as its `set_...` methods say.

    `inputs` is {name: shape}, as in `Transformer({"data": net.blobs["data"].data.shape})`. The
    order: resize to the input's height and width, transpose, swap channels, raw scale, mean,
    input scale.
    """

    def __init__(self, inputs: Mapping[str, Sequence[int]]) -> None:
        self.inputs = {name: tuple(shape) for name, shape in inputs.items()}
        self.transpose: dict[str, Sequence[int]] = {}
        self.channel_swap: dict[str, Sequence[int]] = {}
        self.raw_scale: dict[str, float] = {}
        self.mean: dict[str, Array] = {}
        self.input_scale: dict[str, float] = {}

    def _shape(self, in_: str) -> tuple[int, ...]:
        if in_ not in self.inputs:
            raise DataError(f"no input '{in_}' (there are: {', '.join(self.inputs)})")
        return self.inputs[in_]

    def preprocess(self, in_: str, data: Array) -> Floats:
        """A picture (H', W', K) as a net's input (K, H, W); `data` itself is left as it is."""
        shape = self._shape(in_)
        size = shape[2:]
        image = np.array(data, np.float32)
        if image.ndim != len(shape) - 1:
            raise DataError(f"input '{in_}' of shape {shape} is not made of shape {image.shape}")
        if len(size) == 2 and image.shape[:2] != size:
            image = resize_image(image, size)
        if in_ in self.transpose:
            image = image.transpose(self.transpose[in_])
        if in_ in self.channel_swap:
            image = image[list(self.channel_swap[in_])]
        image = image * np.float32(self.raw_scale.get(in_, 1))
        if in_ in self.mean:
            image -= self.mean[in_]
        return image * np.float32(self.input_scale.get(in_, 1))

    def deprocess(self, in_: str, data: Array) -> Floats:
        """A net's input, (K, H, W) or a batch of one, as the picture it was made of."""
        shape = self._shape(in_)
        image = np.array(data, np.float32)
        if image.ndim == len(shape) and len(image) == 1:
            image = image[0]
        image = image / np.float32(self.input_scale.get(in_, 1))
        if in_ in self.mean:
            image += self.mean[in_]
        image = image / np.float32(self.raw_scale.get(in_, 1))
        if in_ in self.channel_swap:
            image = image[np.argsort(self.channel_swap[in_])]
        if in_ in self.transpose:
            image = image.transpose(np.argsort(self.transpose[in_]))
        return image

    def set_transpose(self, in_: str, order: Sequence[int]) -> None:
        """Which axes come in which order: (2, 0, 1) makes (H, W, K) to (K, H, W)."""
        axes = len(self._shape(in_)) - 1
        if sorted(order) != list(range(axes)):
            raise DataError(f"transpose {tuple(order)}: the {axes} axes are expected, once each")
        self.transpose[in_] = order

    def set_channel_swap(self, in_: str, order: Sequence[int]) -> None:
        """Which channels come in which order, after the transposition: (2, 1, 0) for BGR."""
        channels = self._shape(in_)[1]
        if len(order) != channels:
            raise DataError(f"channel swap {tuple(order)} for the {channels} channels of '{in_}'")
        self.channel_swap[in_] = order

    def set_raw_scale(self, in_: str, scale: float) -> None:
        """What a picture is multiplied by before the mean is taken off: 255 for most models."""
        self._shape(in_)
        self.raw_scale[in_] = scale

    def set_mean(self, in_: str, mean: Array) -> None:
        """What is taken off: a value a channel, or a picture (K, H', W') or (H', W').

        A picture of another size than the input's is resized. Raises DataError for other shapes.
        """
        shape = self._shape(in_)
        channels = shape[1]
        values = np.array(mean, np.float32)
        if values.ndim == 1:
            values = values[:, np.newaxis, np.newaxis]
        elif values.ndim == 2:
            values = values[np.newaxis]
        allowed = (channels,) if np.ndim(mean) == 1 else (1, channels)
        if values.ndim != 3 or len(values) not in allowed:
            raise DataError(f"a mean of shape {np.shape(mean)} for input '{in_}' of shape {shape}")
        if np.ndim(mean) > 1 and values.shape[1:] != shape[2:]:
            values = resize_image(values.transpose(1, 2, 0), shape[2:]).transpose(2, 0, 1)
        self.mean[in_] = values

    def set_input_scale(self, in_: str, scale: float) -> None:
        """What an input is multiplied by at last, after the mean was taken off."""
        self._shape(in_)
        self.input_scale[in_] = scale
