"""AbsVal: y = |x|."""

from ._neuron import NeuronLayer


class AbsValLayer(NeuronLayer):
    """Absolute value, element by element.

        y = |x|        dx = dy sign(x), 0 at x = 0

    No parameters. Bottom and top have the same shape. In place, the gradient has lost the signs
    (as in Caffe): keep bottom and top apart when training.

        layer { type: "Input" name: "x" top: "x" input_param { shape { dim: 2 dim: 3 } } }
        layer { type: "AbsVal" name: "y" bottom: "x" top: "y" }
    """

    function = "abs_val"
    needs_bottom = True
