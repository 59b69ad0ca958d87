"""SigmoidCrossEntropyLoss: independent yes-or-no targets, from scores."""

from collections.abc import Sequence

from minicaffe.blob import Blob, SyncedArray
from minicaffe.layer import LossLayer
from minicaffe.proto import minicaffe_pb2 as pb

from ._normalization import divisor, read_normalization


class SigmoidCrossEntropyLossLayer(LossLayer):
    """Cross-entropy of sigmoid(scores) and targets in [0, 1], computed so that it is stable.

        loss = -1/n Σ t log σ(x) + (1 - t) log(1 - σ(x))        dx = (σ(x) - t) / n

    `loss_param`: `ignore_label` (none): targets that are truncated to it have no loss and no
    gradient; `normalization` gives n: FULL all values, VALID those not ignored, BATCH_SIZE (here
    the default) the images, NONE 1; n is at least 1.

    Bottoms: scores (N, ...), targets of equal count. Top: a scalar.

        layer { type: "Input" name: "x" top: "x" input_param { shape { dim: 2 dim: 3 } } }
        layer { type: "Input" name: "label" top: "label" input_param { shape { dim: 2 dim: 3 } } }
        layer { type: "SigmoidCrossEntropyLoss" name: "loss" bottom: "x" bottom: "label"
          top: "loss" }
    """

    kernels = ("sigmoid_cross_entropy_loss",)
    parameters = "loss"

    def setup(self, bottom: Sequence[Blob], top: Sequence[Blob]) -> None:
        """Read the parameters."""
        param = self.param.loss_param
        self.ignore = param.ignore_label if param.HasField("ignore_label") else None
        self.found = SyncedArray((2,), "int32")
        self.normalization = read_normalization(param, pb.LossParameter.BATCH_SIZE)

    def reshape(self, bottom: Sequence[Blob], top: Sequence[Blob]) -> None:
        """Check that there is a target for each score."""
        super().reshape(bottom, top)
        scores, targets = bottom
        if scores.num_axes == 0 or scores.count() != targets.count():
            raise self.error(
                f"scores of shape {scores.shape} and targets of shape {targets.shape} must have "
                "the same number of values"
            )
        self.divisor = divisor(self.normalization, scores.shape[0], scores.count(1))

    def forward(self, bottom: Sequence[Blob], top: Sequence[Blob]) -> None:
        """Sum the loss of the targets that count."""
        self.ops.forward(
            bottom[0].data.read(self.device).reshape(-1),
            bottom[1].data.read(self.device).reshape(-1),
            top[0].data.write(self.device).reshape(1),
            self.found.write(self.device),
            self.divisor,
            self.ignore,
        )

    def backward(
        self, top: Sequence[Blob], propagate_down: Sequence[bool], bottom: Sequence[Blob]
    ) -> None:
        """Probability minus target, scaled."""
        if propagate_down[1]:
            raise self.error("targets have no gradient")
        if propagate_down[0]:
            self.ops.backward(
                bottom[0].data.read(self.device).reshape(-1),
                bottom[1].data.read(self.device).reshape(-1),
                bottom[0].diff.write(self.device).reshape(-1),
                float(top[0].diff.read("cpu")),
                self.found.read(self.device),
                self.ignore,
            )
