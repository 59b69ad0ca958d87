"""Classifier: a net that takes pictures and gives the scores of classes, as pycaffe's."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .. import TEST
from ..errors import DataError, NetError
from ..proto import minicaffe_pb2 as pb
from .io import Floats, Transformer, oversample, resize_image
from .net import Net

Array = NDArray[Any]


class PictureNet(Net):
    """A net in phase TEST with one input of pictures (N, K, H, W), and its Transformer.

    `mean`, `input_scale`, `raw_scale` and `channel_swap` are those of the Transformer; pictures
    come as (H, W, K) and are transposed.
    """

    def __init__(
        self,
        model_file: str | pb.NetParameter,
        pretrained_file: str | None,
        mean: Array | None = None,
        input_scale: float | None = None,
        raw_scale: float | None = None,
        channel_swap: Sequence[int] | None = None,
    ) -> None:
        super().__init__(model_file, TEST, weights=pretrained_file)
        if not self.inputs or len(self.blobs[self.inputs[0]].shape) != 4:
            raise NetError("an input of pictures (N, K, H, W) is needed, in an Input layer")
        self.input_name = self.inputs[0]
        shape = self.blobs[self.input_name].shape
        self.transformer = Transformer({self.input_name: shape})
        self.transformer.set_transpose(self.input_name, (2, 0, 1))
        if mean is not None:
            self.transformer.set_mean(self.input_name, mean)
        if input_scale is not None:
            self.transformer.set_input_scale(self.input_name, input_scale)
        if raw_scale is not None:
            self.transformer.set_raw_scale(self.input_name, raw_scale)
        if channel_swap is not None:
            self.transformer.set_channel_swap(self.input_name, channel_swap)

    def scores_of(self, pictures: Sequence[Array] | Array) -> Floats:
        """The net's (first) output for pictures (H', W', K), each through the Transformer."""
        batch = [self.transformer.preprocess(self.input_name, picture) for picture in pictures]
        return self.forward_all(None, **{self.input_name: np.stack(batch)})[self.outputs[0]]


class Classifier(PictureNet):
    """`Classifier("deploy.prototxt", "net.caffemodel", image_dims=(256, 256)).predict([picture])`.

    `image_dims` (height, width) is what pictures are scaled to before crops of the net's input size
    are taken from them; without it the input size itself.
    """

    def __init__(
        self,
        model_file: str | pb.NetParameter,
        pretrained_file: str | None,
        image_dims: Sequence[int] | None = None,
        mean: Array | None = None,
        input_scale: float | None = None,
        raw_scale: float | None = None,
        channel_swap: Sequence[int] | None = None,
    ) -> None:
        super().__init__(model_file, pretrained_file, mean, input_scale, raw_scale, channel_swap)
        self.crop_dims = self.blobs[self.input_name].shape[2:]
        dims = self.crop_dims if image_dims is None else image_dims
        self.image_dims = tuple(int(dim) for dim in dims)
        if any(dim < crop for dim, crop in zip(self.image_dims, self.crop_dims, strict=True)):
            raise NetError(f"image_dims {self.image_dims}, smaller than the input {self.crop_dims}")

    def predict(self, inputs: Sequence[Array], oversample: bool = True) -> Floats:
        """The scores (pictures, classes) of pictures (H, W, K) of any sizes.

        With `oversample` the mean over ten crops of each (`io.oversample`), else of the middle.
        """
        if len(inputs) == 0:
            raise DataError("no pictures are given")
        scaled = np.stack([resize_image(picture, self.image_dims) for picture in inputs])
        if oversample:
            scores = self.scores_of(_ten_crops(list(scaled), self.crop_dims))
            means: Floats = scores.reshape(len(inputs), 10, -1).mean(axis=1)
            return means
        top, left = (
            (dim - crop) // 2 for dim, crop in zip(self.image_dims, self.crop_dims, strict=True)
        )
        height, width = self.crop_dims
        return self.scores_of(scaled[:, top : top + height, left : left + width])


_ten_crops = oversample  # the argument of `predict` has its name
