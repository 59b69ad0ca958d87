"""Sigmoid: y = 1 / (1 + exp(-x))."""

from collections.abc import Sequence

from minicaffe.blob import Blob

from ._engine import check_engine
from ._neuron import NeuronLayer


class SigmoidLayer(NeuronLayer):
    """Logistic function, element by element; may run in place.

        y = 1 / (1 + exp(-x))        dx = dy y (1 - y)

    No parameters but `sigmoid_param.engine`. Bottom and top have the same shape.

        layer { type: "Input" name: "x" top: "x" input_param { shape { dim: 2 dim: 3 } } }
        layer { type: "Sigmoid" name: "y" bottom: "x" top: "y" }
    """

    function = "sigmoid"
    needs_top = True

    def setup(self, bottom: Sequence[Blob], top: Sequence[Blob]) -> None:
        """Nothing to read but the engine."""
        check_engine(self, self.param.sigmoid_param)
