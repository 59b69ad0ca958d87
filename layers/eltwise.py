"""Eltwise: blobs of one shape combined element by element."""

from collections.abc import Sequence
from typing import Any

from minicaffe.blob import Blob
from minicaffe.layer import Layer
from minicaffe.proto import minicaffe_pb2 as pb


class EltwiseLayer(Layer):
    """Sum, product or maximum of two blobs or more.

        SUM   y = Σ coeff_i x_i      dx_i = coeff_i dy
        PROD  y = Π x_i              dx_i = dy Π of the other bottoms
        MAX   y = max x_i            dx_i = dy where x_i is the largest

    `eltwise_param`: `operation` (SUM); `coeff` (1), for SUM, one a bottom; `stable_prod_grad`
    (true), for PROD: multiply the other bottoms, false: divide y by x_i, which takes less time with
    many bottoms and fails where x_i is 0. Of equal values, MAX takes bottom 1 before bottom 0, and
    any other only if it is larger. Bottoms and top have the same shape.

        layer { type: "Input" name: "a" top: "a" input_param { shape { dim: 2 dim: 3 } } }
        layer { type: "Input" name: "b" top: "b" input_param { shape { dim: 2 dim: 3 } } }
        layer { type: "Eltwise" name: "y" bottom: "a" bottom: "b" top: "y"
          eltwise_param { operation: PROD } }
    """

    kernels = ("eltwise",)
    steady = True
    bottoms = (2, None)
    positions = "kept"

    def setup(self, bottom: Sequence[Blob], top: Sequence[Blob]) -> None:
        """Read the parameters."""
        param = self.param.eltwise_param
        self.operation: int = param.operation
        self.stable: bool = param.stable_prod_grad
        self.coeff = list(param.coeff) or [1.0] * len(bottom)
        if param.coeff and self.operation == pb.EltwiseParameter.PROD:
            raise self.error("only SUM takes coefficients, the operation is PROD")
        if len(self.coeff) != len(bottom):
            raise self.error(f"{len(self.coeff)} coefficients for {len(bottom)} bottoms")
        if self.operation == pb.EltwiseParameter.MAX and len(bottom) > 256:
            raise self.error(f"MAX takes at most 256 bottoms, not {len(bottom)}")
        self.winner = Blob()  # MAX: the number of the bottom that is the largest, in a byte

    def reshape(self, bottom: Sequence[Blob], top: Sequence[Blob]) -> None:
        """All shapes are equal."""
        for blob in bottom[1:]:
            if blob.shape != bottom[0].shape:
                raise self.error(f"bottoms differ in shape: {bottom[0].shape} and {blob.shape}")
        top[0].reshape_like(bottom[0])
        if self.operation == pb.EltwiseParameter.MAX:
            self.winner.reshape(-(-bottom[0].count() // 4))

    def forward(self, bottom: Sequence[Blob], top: Sequence[Blob]) -> None:
        """Combine the first two bottoms, then each of the others with the result."""
        x = [blob.data.read(self.device) for blob in bottom]
        y = top[0].data.write(self.device)
        if self.operation == pb.EltwiseParameter.SUM:
            self.ops.sum(x[0], x[1], self.coeff[0], self.coeff[1], y)
            for other, coeff in zip(x[2:], self.coeff[2:], strict=True):
                self.ops.sum(y, other, 1.0, coeff, y)
        elif self.operation == pb.EltwiseParameter.PROD:
            self.ops.product(x[0], x[1], y)
            for other in x[2:]:
                self.ops.product(y, other, y)
        else:
            winner = self._winner("write", y)
            self.ops.maximum(x[0], x[1], y, winner)
            for index, other in enumerate(x[2:], 2):
                self.ops.maximum_with(other, index, y, winner)

    def backward(
        self, top: Sequence[Blob], propagate_down: Sequence[bool], bottom: Sequence[Blob]
    ) -> None:
        """Each bottom's share of the gradient."""
        dy = top[0].diff.read(self.device)
        for index in (i for i, wanted in enumerate(propagate_down) if wanted):
            dx = bottom[index].diff.write(self.device)
            if self.operation == pb.EltwiseParameter.SUM:
                self.ops.scale(dy, self.coeff[index], dx)
            elif self.operation == pb.EltwiseParameter.MAX:
                self.ops.select(dy, self._winner("read", dy), index, dx)
            elif self.stable:
                factor = dy
                for other in (blob for i, blob in enumerate(bottom) if i != index):
                    self.ops.product(factor, other.data.read(self.device), dx)
                    factor = dx
            else:
                x, y = bottom[index].data.read(self.device), top[0].data.read(self.device)
                self.ops.quotient(y, x, dy, dx)

    def _winner(self, mode: str, like: Any) -> Any:
        """The bytes of `winner`, one for each element of an array of the top."""
        bytes_ = getattr(self.winner.data, mode)(self.device).view("uint8")
        return bytes_[: like.size].reshape(like.shape)
