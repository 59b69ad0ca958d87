"""Exp: y = base^(shift + scale x)."""

import math
from collections.abc import Sequence

from minicaffe.blob import Blob

from ._neuron import NeuronLayer


class ExpLayer(NeuronLayer):
    """Exponential function, element by element; may run in place.

        y = base^(shift + scale x)        dx = dy y scale log(base)

    `exp_param`: `base` (-1, which means e; otherwise > 0), `scale` (1), `shift` (0). Bottom and top
    have the same shape.

        layer { type: "Input" name: "x" top: "x" input_param { shape { dim: 2 dim: 3 } } }
        layer { type: "Exp" name: "y" bottom: "x" top: "y" exp_param { base: 2 scale: 0.5 } }
    """

    function = "exponential"
    needs_top = True

    def setup(self, bottom: Sequence[Blob], top: Sequence[Blob]) -> None:
        """Turn the parameters into y = outer exp(inner x)."""
        param = self.param.exp_param
        if param.base != -1 and not 0 < param.base < math.inf:
            raise self.error(f"base must be positive, or -1 for e; it is {param.base:g}")
        log_base = 1.0 if param.base == -1 else math.log(param.base)
        try:
            outer = math.exp(log_base * param.shift)
        except OverflowError:
            raise self.error(
                f"base^shift is out of range: base {param.base:g}, shift {param.shift:g}"
            ) from None
        self.scalars = (log_base * param.scale, outer)
