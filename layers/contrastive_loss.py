"""ContrastiveLoss: similar pairs together, dissimilar ones at least a margin apart."""

from collections.abc import Sequence

from minicaffe.blob import Blob
from minicaffe.layer import LossLayer


class ContrastiveLossLayer(LossLayer):
    """The loss of a siamese net (Hadsell, Chopra, LeCun 2006).

        d_n = |a_n - b_n|        loss = 1/(2N) Σ d² (similar), max(0, margin - d)² (dissimilar)
        da = (a - b) / N (similar),  -(margin - d) / (d + 1e-4) (a - b) / N (dissimilar, d < margin)

    `contrastive_loss_param`: `margin` (1); `legacy_version` (false): max(0, margin - d²) for the
    dissimilar pairs.

    Bottoms: features a and b (N, C) or (N, C, 1, 1), of one shape; N flags, not 0 (truncated) for
    a similar pair. Top: a scalar.

        layer { type: "Input" name: "a" top: "a" input_param { shape { dim: 2 dim: 3 } } }
        layer { type: "Input" name: "b" top: "b" input_param { shape { dim: 2 dim: 3 } } }
        layer { type: "Input" name: "similar" top: "similar" input_param { shape { dim: 2 } } }
        layer { type: "ContrastiveLoss" name: "loss" bottom: "a" bottom: "b" bottom: "similar"
          top: "loss" contrastive_loss_param { margin: 2 } }
    """

    kernels = ("contrastive_loss",)
    bottoms = (3, 3)

    def setup(self, bottom: Sequence[Blob], top: Sequence[Blob]) -> None:
        """Read the parameters; differences and squared distances are kept for backward."""
        param = self.param.contrastive_loss_param
        self.margin: float = param.margin
        self.legacy: bool = param.legacy_version
        self.difference = Blob()
        self.squared_distance = Blob()

    def reshape(self, bottom: Sequence[Blob], top: Sequence[Blob]) -> None:
        """Check that the pairs are vectors of one length, with a flag for each."""
        super().reshape(bottom, top)
        a, b, similar = (blob.shape for blob in bottom)
        if len(a) not in (2, 3, 4) or a != b or any(dim != 1 for dim in a[2:]):
            raise self.error(f"features of shape {a} and {b} must both be (N, C), or (N, C, 1, 1)")
        if bottom[2].count() != a[0]:
            raise self.error(f"flags of shape {similar} for {a[0]} pairs: there must be one a pair")
        self.view = (a[0], a[1])
        self.difference.reshape(self.view)
        self.squared_distance.reshape(a[0])

    def forward(self, bottom: Sequence[Blob], top: Sequence[Blob]) -> None:
        """Average the loss of the pairs."""
        self.ops.forward(
            bottom[0].data.read(self.device).reshape(self.view),
            bottom[1].data.read(self.device).reshape(self.view),
            bottom[2].data.read(self.device).reshape(-1),
            self.difference.data.write(self.device),
            self.squared_distance.data.write(self.device),
            top[0].data.write(self.device).reshape(1),
            self.margin,
            self.legacy,
        )

    def backward(
        self, top: Sequence[Blob], propagate_down: Sequence[bool], bottom: Sequence[Blob]
    ) -> None:
        """Pull or push a pair along its difference."""
        if propagate_down[2]:
            raise self.error("the flags of similar pairs have no gradient")
        scale = float(top[0].diff.read("cpu")) / max(1, self.view[0])
        for index, sign in enumerate((1.0, -1.0)):
            if propagate_down[index]:
                self.ops.backward(
                    self.difference.data.read(self.device),
                    self.squared_distance.data.read(self.device),
                    bottom[2].data.read(self.device).reshape(-1),
                    bottom[index].diff.write(self.device).reshape(self.view),
                    sign * scale,
                    self.margin,
                    self.legacy,
                )

    def allow_force_backward(self, index: int) -> bool:
        """The flags have no gradient."""
        return index != 2
