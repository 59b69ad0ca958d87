"""Threshold: y = 1 where x > threshold, 0 elsewhere."""

from collections.abc import Sequence

from minicaffe.blob import Blob
from minicaffe.layer import Layer


class ThresholdLayer(Layer):
    """Which elements are above a limit; no gradient.

        y = 1 where x > threshold, 0 elsewhere

    `threshold_param`: `threshold` (0). Bottom and top have the same shape; may run in place.

        layer { type: "Input" name: "x" top: "x" input_param { shape { dim: 2 dim: 3 } } }
        layer { type: "Threshold" name: "y" bottom: "x" top: "y"
          threshold_param { threshold: 0.2 } }
    """

    kernels = ("threshold",)
    positions = "kept"

    def setup(self, bottom: Sequence[Blob], top: Sequence[Blob]) -> None:
        """Read the limit."""
        self.threshold: float = self.param.threshold_param.threshold

    def reshape(self, bottom: Sequence[Blob], top: Sequence[Blob]) -> None:
        """The top has the bottom's shape."""
        top[0].reshape_like(bottom[0])

    def forward(self, bottom: Sequence[Blob], top: Sequence[Blob]) -> None:
        """Compare."""
        self.ops.forward(
            bottom[0].data.read(self.device), top[0].data.write(self.device), self.threshold
        )
