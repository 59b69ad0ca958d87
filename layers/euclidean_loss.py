"""EuclideanLoss: half the mean squared distance."""

from collections.abc import Sequence

from minicaffe.blob import Blob
from minicaffe.layer import LossLayer


class EuclideanLossLayer(LossLayer):
    """Sum of squares loss for regression.

        loss = 1/(2N) Σ (a - b)²        da = (a - b) / N        db = -da

    Bottoms: a and b (N, ...), equal in N and in the number of values of a sample; both receive
    gradients. Top: a scalar.

        layer { type: "Input" name: "a" top: "a" input_param { shape { dim: 2 dim: 3 } } }
        layer { type: "Input" name: "b" top: "b" input_param { shape { dim: 2 dim: 3 } } }
        layer { type: "EuclideanLoss" name: "loss" bottom: "a" bottom: "b" top: "loss" }
    """

    kernels = ("euclidean_loss",)
    parameters = "loss"

    def setup(self, bottom: Sequence[Blob], top: Sequence[Blob]) -> None:
        """Nothing to read; the differences are kept for backward."""
        self.difference = Blob()

    def reshape(self, bottom: Sequence[Blob], top: Sequence[Blob]) -> None:
        """Check that both bottoms have as many values."""
        super().reshape(bottom, top)
        a, b = bottom
        if a.num_axes == 0 or a.count(1) != b.count(1):
            raise self.error(
                f"bottoms of shape {a.shape} and {b.shape} must have the same number of values "
                "after their first axis"
            )
        self.difference.reshape_like(a)

    def forward(self, bottom: Sequence[Blob], top: Sequence[Blob]) -> None:
        """Sum the squared differences."""
        self.ops.forward(
            bottom[0].data.read(self.device).reshape(-1),
            bottom[1].data.read(self.device).reshape(-1),
            self.difference.data.write(self.device).reshape(-1),
            top[0].data.write(self.device).reshape(1),
            2 * max(1, bottom[0].shape[0]),
        )

    def backward(
        self, top: Sequence[Blob], propagate_down: Sequence[bool], bottom: Sequence[Blob]
    ) -> None:
        """The difference, over N, for a; its negative for b."""
        scale = float(top[0].diff.read("cpu")) / max(1, bottom[0].shape[0])
        for index, sign in enumerate((1.0, -1.0)):
            if propagate_down[index]:
                self.ops.backward(
                    self.difference.data.read(self.device).reshape(-1),
                    bottom[index].diff.write(self.device).reshape(-1),
                    sign * scale,
                )

    def allow_force_backward(self, index: int) -> bool:
        """Both bottoms may receive a gradient."""
        return True
