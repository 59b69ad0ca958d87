"""Log: y = log_base(shift + scale x)."""

import math
from collections.abc import Sequence

from minicaffe.blob import Blob

from ._neuron import NeuronLayer


class LogLayer(NeuronLayer):
    """Logarithm, element by element.

        y = log(shift + scale x) / log(base)        dx = dy scale / ((shift + scale x) log(base))

    `log_param`: `base` (-1, which means e; otherwise > 0 and not 1), `scale` (1), `shift` (0). NaN
    where shift + scale x < 0. Bottom and top have the same shape. In place, backward takes y for x
    (as in Caffe) and so is wrong.

        layer { type: "Input" name: "x" top: "x" input_param { shape { dim: 2 dim: 3 } } }
        layer { type: "Log" name: "y" bottom: "x" top: "y" log_param { base: 2 shift: 1 } }
    """

    function = "logarithm"
    needs_bottom = True

    def setup(self, bottom: Sequence[Blob], top: Sequence[Blob]) -> None:
        """Turn the parameters into y = factor log(scale x + shift)."""
        param = self.param.log_param
        if param.base != -1 and (not 0 < param.base < math.inf or param.base == 1):
            raise self.error(f"base must be positive and not 1, or -1 for e; it is {param.base:g}")
        log_base = 1.0 if param.base == -1 else math.log(param.base)
        self.scalars = (param.scale, param.shift, 1 / log_base)
