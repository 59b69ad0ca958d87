"""Clip: y = x, kept between min and max."""

from collections.abc import Sequence

from minicaffe.blob import Blob

from ._neuron import NeuronLayer


class ClipLayer(NeuronLayer):
    """Values below `min` become `min`, those above `max` become `max`.

        y = max(min, min(x, max))        dx = dy where min <= x <= max, 0 elsewhere

    `clip_param`: `min`, `max` (both required). Bottom and top have the same shape. In place the
    gradient passes everywhere (as in Caffe).

        layer { type: "Input" name: "x" top: "x" input_param { shape { dim: 2 dim: 3 } } }
        layer { type: "Clip" name: "y" bottom: "x" top: "y" clip_param { min: -0.7 max: 0.6 } }
    """

    function = "clip"
    needs_bottom = True

    def setup(self, bottom: Sequence[Blob], top: Sequence[Blob]) -> None:
        """Read the bounds."""
        param = self.param.clip_param
        if not (param.HasField("min") and param.HasField("max")):
            raise self.error("clip_param must give min and max")
        self.scalars = (param.min, param.max)
