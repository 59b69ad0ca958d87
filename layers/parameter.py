"""Parameter: a learnable blob as a top."""

from collections.abc import Sequence

from minicaffe.blob import Blob
from minicaffe.layer import Layer


class ParameterLayer(Layer):
    """A learnable blob that other layers can read like any other.

    The top shares data and diff with the parameter: what the next layer writes as its bottom's
    gradient is the parameter's gradient. It is overwritten, not added up, so that `iter_size`
    counts the last part only (as in Caffe).

    `parameter_param`: `shape`. The values are 0 until they are loaded or trained. No bottom.

        layer { type: "Input" name: "x" top: "x" input_param { shape { dim: 2 dim: 3 } } }
        layer { type: "Parameter" name: "p" top: "p" parameter_param { shape { dim: 3 } } }
        layer { type: "Scale" name: "y" bottom: "x" bottom: "p" top: "y" }
    """

    bottoms = (0, 0)
    needs_no_input = True
    shares = True

    def setup(self, bottom: Sequence[Blob], top: Sequence[Blob]) -> None:
        """Create the blob."""
        if not self.blobs:
            self.blobs.add_blob(*self.param.parameter_param.shape.dim)
        self.param_propagate_down = [True]

    def reshape(self, bottom: Sequence[Blob], top: Sequence[Blob]) -> None:
        """The top is the parameter, wherever the net keeps it."""
        top[0].reshape_like(self.blobs[0])
        top[0].share_data(self.blobs[0])
        top[0].share_diff(self.blobs[0])

    def forward(self, bottom: Sequence[Blob], top: Sequence[Blob]) -> None:
        """The values are there."""

    def backward(
        self, top: Sequence[Blob], propagate_down: Sequence[bool], bottom: Sequence[Blob]
    ) -> None:
        """The gradient is there."""

    def seek(self, batch: int) -> None:
        """Every batch is the parameter."""
