"""Swish: y = x sigmoid(beta x)."""

from collections.abc import Sequence

from minicaffe.blob import Blob

from ._neuron import NeuronLayer


class SwishLayer(NeuronLayer):
    """Sigmoid-weighted linear unit (Ramachandran, Zoph and Le, 2017); may run in place.

        y = x s, with s = 1 / (1 + exp(-beta x))        dx = dy (beta y + s (1 - beta y))

    `swish_param`: `beta` (1). Bottom and top have the same shape.

        layer { type: "Input" name: "x" top: "x" input_param { shape { dim: 2 dim: 3 } } }
        layer { type: "Swish" name: "y" bottom: "x" top: "y" swish_param { beta: 2 } }
    """

    function = "swish"
    needs_top = True
    keeps_input = True

    def setup(self, bottom: Sequence[Blob], top: Sequence[Blob]) -> None:
        """Read beta."""
        self.scalars = (self.param.swish_param.beta,)
