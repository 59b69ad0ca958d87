"""BNLL: y = log(1 + exp(x))."""

from ._neuron import NeuronLayer


class BNLLLayer(NeuronLayer):
    """Binomial normal log likelihood, today called softplus, element by element.

        y = log(1 + exp(x))        dx = dy exp(x) / (1 + exp(x))

    Computed as max(x, 0) + log(1 + exp(-|x|)), which does not overflow. No parameters. Bottom and
    top have the same shape. In place, backward takes y for x (as in Caffe) and so is wrong.

        layer { type: "Input" name: "x" top: "x" input_param { shape { dim: 2 dim: 3 } } }
        layer { type: "BNLL" name: "y" bottom: "x" top: "y" }
    """

    function = "bnll"
    needs_bottom = True
