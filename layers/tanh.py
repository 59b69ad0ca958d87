"""TanH: y = tanh(x)."""

from collections.abc import Sequence

from minicaffe.blob import Blob

from ._engine import check_engine
from ._neuron import NeuronLayer


class TanHLayer(NeuronLayer):
    """Hyperbolic tangent, element by element; may run in place.

        y = tanh(x)        dx = dy (1 - y²)

    No parameters but `tanh_param.engine`. Bottom and top have the same shape.

        layer { type: "Input" name: "x" top: "x" input_param { shape { dim: 2 dim: 3 } } }
        layer { type: "TanH" name: "y" bottom: "x" top: "y" }
    """

    function = "tanh"
    needs_top = True

    def setup(self, bottom: Sequence[Blob], top: Sequence[Blob]) -> None:
        """Nothing to read but the engine."""
        check_engine(self, self.param.tanh_param)
