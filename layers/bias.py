"""Bias: y = x + bias, broadcast along the other axes."""

from collections.abc import Sequence

from minicaffe.blob import Blob
from minicaffe.filler import fill
from minicaffe.layer import Layer

from ._broadcast import operand_view, parameter_shape


class BiasLayer(Layer):
    """Add learned values, or those of a second bottom.

        y = x + b        dx = dy        db = Σ dy over the axes that b does not have

    `bias_param`: `axis` (1), the axis of the bottom where those of b begin; `num_axes` (1), how
    many it spans (-1: all that follow, 0: b is a scalar); `filler` (constant 0). With two bottoms
    b is the second, whose shape is that of bottom 0 from `axis` on.

    Bottom 0 and the top have the same shape; may run in place. Parameter: b, unless it is a bottom.

        layer { type: "Input" name: "x" top: "x" input_param { shape { dim: 2 dim: 3 dim: 2 } } }
        layer { type: "Bias" name: "y" bottom: "x" top: "y" }
    """

    kernels = ("scale", "copy")
    bottoms = (1, 2)
    positions = "kept"

    def setup(self, bottom: Sequence[Blob], top: Sequence[Blob]) -> None:
        """Read the parameters; create b."""
        param = self.param.bias_param
        self.first_axis: int = param.axis
        if len(bottom) == 1 and not self.blobs:
            fill(self.blobs.add_blob(*parameter_shape(self, bottom[0], param)), param.filler)
        self.param_propagate_down = [True] * len(self.blobs)

    def _bias(self, bottom: Sequence[Blob]) -> Blob:
        return bottom[1] if len(bottom) == 2 else self.blobs[0]

    def reshape(self, bottom: Sequence[Blob], top: Sequence[Blob]) -> None:
        """The top has the bottom's shape."""
        self.view = operand_view(self, bottom, self._bias(bottom), self.first_axis)
        top[0].reshape_like(bottom[0])

    def forward(self, bottom: Sequence[Blob], top: Sequence[Blob]) -> None:
        """Add."""
        self.ops.forward(
            bottom[0].data.read(self.device).reshape(self.view),
            None,
            self._bias(bottom).data.read(self.device).reshape(-1),
            top[0].data.write(self.device).reshape(self.view),
        )

    def backward(
        self, top: Sequence[Blob], propagate_down: Sequence[bool], bottom: Sequence[Blob]
    ) -> None:
        """Sum for b, pass on to the bottom."""
        device = self.device
        dy = top[0].diff.read(device).reshape(self.view)
        if len(bottom) == 2:
            if propagate_down[1]:
                self.ops.gradient(None, dy, bottom[1].diff.write(device).reshape(-1), False)
        elif self.param_propagate_down[0]:
            self.ops.gradient(None, dy, self.blobs[0].diff.update(device).reshape(-1), True)
        if propagate_down[0] and top[0] is not bottom[0]:
            self.ops_of("copy").copy(dy, bottom[0].diff.write(device))
