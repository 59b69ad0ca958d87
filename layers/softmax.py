"""Softmax: exponentials of the scores, scaled to sum 1."""

from collections.abc import Sequence

from minicaffe.blob import Blob
from minicaffe.layer import Layer

from ._engine import check_engine


class SoftmaxLayer(Layer):
    """Scores into probabilities, along one axis; may run in place.

        y_c = exp(x_c - max x) / Σ_k exp(x_k - max x)        dx = y (dy - Σ_c dy_c y_c)

    `softmax_param`: `axis` (1), the axis of the classes. Bottom and top have the same shape.

        layer { type: "Input" name: "x" top: "x" input_param { shape { dim: 2 dim: 3 dim: 2 } } }
        layer { type: "Softmax" name: "y" bottom: "x" top: "y" }
    """

    kernels = ("softmax",)
    steady = True
    needs_top = True

    def setup(self, bottom: Sequence[Blob], top: Sequence[Blob]) -> None:
        """Read the axis."""
        check_engine(self, self.param.softmax_param)
        self.class_axis: int = self.param.softmax_param.axis

    def reshape(self, bottom: Sequence[Blob], top: Sequence[Blob]) -> None:
        """The top has the bottom's shape."""
        axis = self.axis(bottom[0], self.class_axis)
        self.view = (bottom[0].count(0, axis), bottom[0].shape[axis], bottom[0].count(axis + 1))
        top[0].reshape_like(bottom[0])

    def forward(self, bottom: Sequence[Blob], top: Sequence[Blob]) -> None:
        """Exponentiate and scale."""
        self.ops.forward(
            bottom[0].data.read(self.device).reshape(self.view),
            top[0].data.write(self.device).reshape(self.view),
        )

    def backward(
        self, top: Sequence[Blob], propagate_down: Sequence[bool], bottom: Sequence[Blob]
    ) -> None:
        """Multiply the gradient by the Jacobian, from the outputs alone."""
        if propagate_down[0]:
            self.ops.backward(
                top[0].data.read(self.device).reshape(self.view),
                top[0].diff.read(self.device).reshape(self.view),
                bottom[0].diff.write(self.device).reshape(self.view),
            )
