"""MultinomialLogisticLoss: the cross-entropy of probabilities and integer labels."""

from collections.abc import Sequence

from minicaffe.blob import Blob, SyncedArray
from minicaffe.layer import LossLayer

from ._labels import check_labels, check_one_label_each

SMALLEST = 1e-20  # no probability counts as less


class MultinomialLogisticLossLayer(LossLayer):
    """Mean of -log p over the probabilities of the right classes. On scores, SoftmaxWithLoss is
    the stable way.

        loss = -1/N Σ log max(p_label, 1e-20)        dp_label = -1 / (N max(p_label, 1e-20))

    Bottoms: probabilities (N, C, ...), the C · ... values of a sample being its classes; and
    N labels, truncated to integers, of shape (N) or (N, 1, 1, 1). Top: a scalar. Raises LayerError
    for labels that name no class.

        layer { type: "Input" name: "x" top: "x" input_param { shape { dim: 2 dim: 3 } } }
        layer { type: "Input" name: "label" top: "label" input_param { shape { dim: 2 } } }
        layer { type: "Softmax" name: "p" bottom: "x" top: "p" }
        layer { type: "MultinomialLogisticLoss" name: "loss" bottom: "p" bottom: "label"
          top: "loss" }
    """

    kernels = ("cross_entropy",)
    checked_bottom = 1

    def setup(self, bottom: Sequence[Blob], top: Sequence[Blob]) -> None:
        """Nothing to read."""
        self.losses = Blob()
        self.found = SyncedArray((2,), "int32")

    def reshape(self, bottom: Sequence[Blob], top: Sequence[Blob]) -> None:
        """Check that there is one label a sample."""
        super().reshape(bottom, top)
        self.samples, self.classes = check_one_label_each(self, bottom)
        self.losses.reshape(self.samples, 1)

    def forward(self, bottom: Sequence[Blob], top: Sequence[Blob]) -> None:
        """Average -log p."""
        self.ops.forward(
            bottom[0].data.read(self.device).reshape(self.samples, self.classes, 1),
            bottom[1].data.read(self.device).reshape(self.samples, 1),
            self.losses.data.write(self.device),
            top[0].data.write(self.device).reshape(1),
            self.found.write(self.device),
            SMALLEST,
            max(1, self.samples),
            None,
        )

    def check(self, bottom: Sequence[Blob]) -> None:
        """Raise LayerError for labels that name no class."""
        check_labels(self, self.found, bottom[1], self.classes)

    def backward(
        self, top: Sequence[Blob], propagate_down: Sequence[bool], bottom: Sequence[Blob]
    ) -> None:
        """-1 / p at the labels, 0 elsewhere."""
        if propagate_down[1]:
            raise self.error("labels have no gradient")
        if propagate_down[0]:
            self.ops.backward_prob(
                bottom[0].data.read(self.device).reshape(self.samples, self.classes, 1),
                bottom[1].data.read(self.device).reshape(self.samples, 1),
                bottom[0].diff.write(self.device).reshape(self.samples, self.classes, 1),
                float(top[0].diff.read("cpu")) / max(1, self.samples),
                SMALLEST,
            )
