"""Reduction: the tail axes of a blob become one number."""

from collections.abc import Sequence

from minicaffe.blob import Blob
from minicaffe.layer import Layer
from minicaffe.proto import minicaffe_pb2 as pb


class ReductionLayer(Layer):
    """Reduce the axes from `axis` on to their sum, sum of magnitudes, sum of squares, or mean.

        SUM    y = coeff Σ x        dx = coeff dy
        ASUM   y = coeff Σ |x|      dx = coeff dy sign(x)
        SUMSQ  y = coeff Σ x²       dx = 2 coeff dy x
        MEAN   SUM with coeff divided by the number of values

    `reduction_param`: `operation` (SUM), `axis` (0), `coeff` (1). The top has the axes before
    `axis`: a scalar by default.

        layer { type: "Input" name: "x" top: "x" input_param { shape { dim: 2 dim: 3 dim: 2 } } }
        layer { type: "Reduction" name: "y" bottom: "x" top: "y"
          reduction_param { operation: SUMSQ axis: 1 coeff: 0.5 } }
    """

    kernels = ("reduction",)
    in_place = False

    def setup(self, bottom: Sequence[Blob], top: Sequence[Blob]) -> None:
        """Read the parameters."""
        param = self.param.reduction_param
        self.operation: str = pb.ReductionParameter.ReductionOp.Name(param.operation)
        self.first_axis: int = param.axis
        self.coeff: float = param.coeff

    def reshape(self, bottom: Sequence[Blob], top: Sequence[Blob]) -> None:
        """The top keeps the axes before `axis`."""
        axis = self.axis(bottom[0], self.first_axis)
        top[0].reshape(bottom[0].shape[:axis])
        self.view = (bottom[0].count(0, axis), bottom[0].count(axis))
        self.factor = self.coeff / self.view[1] if self.operation == "MEAN" else self.coeff

    def forward(self, bottom: Sequence[Blob], top: Sequence[Blob]) -> None:
        """Reduce the rows."""
        self.ops.forward(
            self.operation,
            bottom[0].data.read(self.device).reshape(self.view),
            top[0].data.write(self.device).reshape(-1),
            self.factor,
        )

    def backward(
        self, top: Sequence[Blob], propagate_down: Sequence[bool], bottom: Sequence[Blob]
    ) -> None:
        """Spread each row's gradient over it."""
        if propagate_down[0]:
            self.ops.backward(
                self.operation,
                bottom[0].data.read(self.device).reshape(self.view),
                top[0].diff.read(self.device).reshape(-1),
                bottom[0].diff.write(self.device).reshape(self.view),
                self.factor,
            )
