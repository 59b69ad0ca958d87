"""Split: one blob for several readers; their gradients are summed."""

from collections.abc import Sequence

from minicaffe.blob import Blob
from minicaffe.layer import Layer


class SplitLayer(Layer):
    """A blob under several names. The net inserts it wherever a blob has more than one reader.

        y_i = x        dx = dy_0 + dy_1 + ...

    The tops share the bottom's memory, so nothing is copied forward. All shapes are equal.

        layer { type: "Input" name: "x" top: "x" input_param { shape { dim: 2 dim: 3 } } }
        layer { type: "Split" name: "s" bottom: "x" top: "a" top: "b" }
    """

    kernels = ("split",)
    steady = True
    tops = (1, None)
    in_place = False
    positions = "kept"
    shares = True
    repeats = True

    def reshape(self, bottom: Sequence[Blob], top: Sequence[Blob]) -> None:
        """All tops have the bottom's shape, and share its data."""
        for blob in top:
            blob.reshape_like(bottom[0])
            blob.share_data(bottom[0])

    def forward(self, bottom: Sequence[Blob], top: Sequence[Blob]) -> None:
        """The values are there already."""

    def backward(
        self, top: Sequence[Blob], propagate_down: Sequence[bool], bottom: Sequence[Blob]
    ) -> None:
        """Sum the gradients, from the first top to the last."""
        if propagate_down[0]:
            gradients = [blob.diff.read(self.device) for blob in top]
            self.ops.backward(gradients, bottom[0].diff.write(self.device))
