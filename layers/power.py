"""Power: y = (shift + scale x)^power."""

import math
from collections.abc import Sequence

from minicaffe.blob import Blob

from ._neuron import NeuronLayer


class PowerLayer(NeuronLayer):
    """A power of an affine function, element by element.

        y = (shift + scale x)^power        dx = dy power scale (shift + scale x)^(power - 1)

    `power_param`: `power` (1), `scale` (1), `shift` (0). With power or scale 0 the top is constant
    and the gradient 0. A negative base with a fractional power gives NaN. Bottom and top have the
    same shape. The layer may run in place where no gradient passes; backward then gives what Caffe
    gives, the square of the derivative, taken at y.

        layer { type: "Input" name: "x" top: "x" input_param { shape { dim: 2 dim: 3 } } }
        layer { type: "Power" name: "y" bottom: "x" top: "y"
          power_param { power: 3 scale: 0.5 shift: 1 } }
    """

    needs_bottom = True

    def setup(self, bottom: Sequence[Blob], top: Sequence[Blob]) -> None:
        """Choose the cheapest function that serves."""
        param = self.param.power_param
        self.function = {1: "affine", 2: "square"}.get(param.power, "power")
        self.scalars = (param.scale, param.shift)
        if self.function == "power":
            self.scalars += (param.power,)
        if param.power * param.scale == 0:
            self.function = "affine"
            self.scalars = (0.0, self._constant(param.shift, param.power))

    def _constant(self, shift: float, power: float) -> float:
        try:
            return math.pow(shift, power)
        except (ValueError, OverflowError):
            raise self.error(f"shift^power is not a number: {shift:g}^{power:g}") from None

    def backward(
        self, top: Sequence[Blob], propagate_down: Sequence[bool], bottom: Sequence[Blob]
    ) -> None:
        """Multiply the gradient by the derivative."""
        if propagate_down[0] and top[0] is bottom[0]:
            # Caffe puts the derivative where the top's gradient is, then multiplies both.
            y, dy = top[0].data.read(self.device), top[0].diff.write(self.device)
            self.ops.forward("affine", y, dy, 0.0, 1.0)
            super().backward(top, propagate_down, bottom)
        super().backward(top, propagate_down, bottom)
