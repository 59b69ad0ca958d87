"""ReLU: y = max(x, 0) + negative_slope * min(x, 0)."""

from collections.abc import Sequence

from minicaffe.blob import Blob
from minicaffe.layer import Layer

from ._engine import check_engine


class ReLULayer(Layer):
    """Rectifier, applied element by element; may run in place (top = bottom).

        y = x where x > 0, negative_slope * x elsewhere
        dx = dy where x > 0, negative_slope * dy elsewhere (at x = 0 too)

    `relu_param`: `negative_slope` (0). In place, the gradient looks at the sign of y, which is
    that of x for slopes >= 0. Bottom and top have the same shape, any number of axes.

        layer { type: "Input" name: "x" top: "x" input_param { shape { dim: 2 dim: 3 } } }
        layer { type: "ReLU" name: "y" bottom: "x" top: "y" relu_param { negative_slope: 0.1 } }
    """

    kernels = ("relu",)
    steady = True
    positions = "kept"

    def setup(self, bottom: Sequence[Blob], top: Sequence[Blob]) -> None:
        """Read the slope."""
        check_engine(self, self.param.relu_param)
        self.negative_slope: float = self.param.relu_param.negative_slope

    def reshape(self, bottom: Sequence[Blob], top: Sequence[Blob]) -> None:
        """The top has the bottom's shape."""
        top[0].reshape_like(bottom[0])

    def forward(self, bottom: Sequence[Blob], top: Sequence[Blob]) -> None:
        """Rectify."""
        self.ops.forward(
            bottom[0].data.read(self.device), top[0].data.write(self.device), self.negative_slope
        )

    def backward(
        self, top: Sequence[Blob], propagate_down: Sequence[bool], bottom: Sequence[Blob]
    ) -> None:
        """Pass the gradient where the input was positive."""
        if propagate_down[0]:
            self.ops.backward(
                bottom[0].data.read(self.device),
                top[0].diff.read(self.device),
                bottom[0].diff.write(self.device),
                self.negative_slope,
            )
