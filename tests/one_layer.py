"""One layer on its own: built from prototxt text, fed with arrays, asked for its gradients."""

from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from minicaffe.blob import Blob
from minicaffe.layer import create_layer
from minicaffe.proto import minicaffe_pb2 as pb
from minicaffe.proto.text import parse_text

Array = NDArray[np.float32]


class OneLayer:
    """A layer named L with its own bottoms and tops."""

    def __init__(
        self, text: str, *inputs: ArrayLike, device: str = "cpu", tops: int = 1, phase: int = 0
    ) -> None:
        param = parse_text(f'name: "L" {text}', pb.LayerParameter())
        self.layer: Any = create_layer(param, device, phase)
        self.bottom = [Blob(np.shape(values)) for values in inputs]
        self.top = [Blob() for _ in range(tops)]
        self.feed(*inputs)
        self.layer.check_counts(self.bottom, self.top)
        self.layer.setup(self.bottom, self.top)
        self.layer.reshape(self.bottom, self.top)

    def feed(self, *inputs: ArrayLike) -> None:
        """Give the bottoms new shapes and values."""
        for blob, values in zip(self.bottom, inputs, strict=True):
            blob.reshape(np.shape(values))
            blob.data[...] = values

    def forward(self, *inputs: ArrayLike) -> Array:
        """The data of the first top."""
        if inputs:
            self.feed(*inputs)
        self.layer.reshape(self.bottom, self.top)
        self.layer.forward(self.bottom, self.top)
        self.layer.check(self.bottom)
        return np.array(self.top[0].data)

    def backward(self, gradient: ArrayLike, wanted: int = 1) -> list[Array]:
        """The diffs of the first `wanted` bottoms, for this diff of the first top."""
        self.top[0].diff[...] = gradient
        for blob in self.bottom:
            blob.diff[...] = np.nan
        flags = [index < wanted for index in range(len(self.bottom))]
        self.layer.backward(self.top, flags, self.bottom)
        return [np.array(blob.diff) for blob in self.bottom[:wanted]]

    def set_blobs(self, *values: ArrayLike) -> None:
        """Give the parameters values."""
        for blob, array in zip(self.layer.blobs, values, strict=True):
            blob.data[...] = array
