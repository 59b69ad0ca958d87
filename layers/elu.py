"""ELU: y = x where x > 0, alpha (exp(x) - 1) elsewhere."""

from collections.abc import Sequence

from minicaffe.blob import Blob

from ._neuron import NeuronLayer


class ELULayer(NeuronLayer):
    """Exponential linear unit (Clevert, Unterthiner and Hochreiter, 2015); may run in place.

        y = x where x > 0, alpha (exp(x) - 1) elsewhere
        dx = dy where x > 0, dy (alpha + y) elsewhere

    `elu_param`: `alpha` (1). Bottom and top have the same shape. In place, backward takes the sign
    of y for that of x, which is right for alpha >= 0.

        layer { type: "Input" name: "x" top: "x" input_param { shape { dim: 2 dim: 3 } } }
        layer { type: "ELU" name: "y" bottom: "x" top: "y" elu_param { alpha: 0.5 } }
    """

    function = "elu"
    needs_top = True

    def setup(self, bottom: Sequence[Blob], top: Sequence[Blob]) -> None:
        """Read alpha."""
        self.scalars = (self.param.elu_param.alpha,)
