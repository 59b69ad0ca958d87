"""Silence: a reader for blobs that nobody else reads."""

from collections.abc import Sequence

from minicaffe.blob import Blob
from minicaffe.layer import Layer


class SilenceLayer(Layer):
    """Takes any number of blobs and gives none, so that they are not outputs of the net; their
    gradient is 0.

        layer { type: "Input" name: "x" top: "x" input_param { shape { dim: 2 dim: 3 } } }
        layer { type: "Silence" name: "quiet" bottom: "x" }
    """

    kernels = ("fill",)
    bottoms = (1, None)
    tops = (0, 0)
    shares = True

    def reshape(self, bottom: Sequence[Blob], top: Sequence[Blob]) -> None:
        """There is no top."""

    def forward(self, bottom: Sequence[Blob], top: Sequence[Blob]) -> None:
        """There is nothing to compute."""

    def backward(
        self, top: Sequence[Blob], propagate_down: Sequence[bool], bottom: Sequence[Blob]
    ) -> None:
        """A zero gradient."""
        for blob, wanted in zip(bottom, propagate_down, strict=True):
            if wanted:
                self.ops.fill(blob.diff.write(self.device), 0.0)
