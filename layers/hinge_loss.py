"""HingeLoss: the one-versus-all margins of a support vector machine."""

from collections.abc import Sequence

from minicaffe.blob import Blob, SyncedArray
from minicaffe.layer import LossLayer
from minicaffe.proto import minicaffe_pb2 as pb

from ._labels import check_labels, check_one_label_each


class HingeLossLayer(LossLayer):
    """One-versus-all hinge loss, linear or squared.

        m = max(0, 1 - s x), s = 1 at the label, -1 elsewhere        loss = 1/N Σ m^p
        dx = -s/N [m > 0] (p = 1),  -2 s m / N (p = 2)

    `hinge_loss_param`: `norm`, L1 (p = 1, the default) or L2 (p = 2).

    Bottoms: scores (N, ...), every value of a sample being a class; N labels, truncated to
    integers. Top: a scalar. Raises LayerError for labels that name no class.

        layer { type: "Input" name: "x" top: "x" input_param { shape { dim: 2 dim: 3 } } }
        layer { type: "Input" name: "label" top: "label" input_param { shape { dim: 2 } } }
        layer { type: "HingeLoss" name: "loss" bottom: "x" bottom: "label" top: "loss"
          hinge_loss_param { norm: L2 } }
    """

    kernels = ("hinge_loss",)
    checked_bottom = 1

    def setup(self, bottom: Sequence[Blob], top: Sequence[Blob]) -> None:
        """Read the norm."""
        self.squared = self.param.hinge_loss_param.norm == pb.HingeLossParameter.L2
        self.margins = Blob()
        self.found = SyncedArray((2,), "int32")

    def reshape(self, bottom: Sequence[Blob], top: Sequence[Blob]) -> None:
        """Check that there is one label a sample."""
        super().reshape(bottom, top)
        self.samples, self.classes = check_one_label_each(self, bottom)
        self.margins.reshape(self.samples, self.classes)

    def forward(self, bottom: Sequence[Blob], top: Sequence[Blob]) -> None:
        """Keep the margins, average their norm."""
        self.ops.forward(
            bottom[0].data.read(self.device).reshape(self.samples, self.classes),
            bottom[1].data.read(self.device).reshape(-1),
            self.margins.data.write(self.device),
            top[0].data.write(self.device).reshape(1),
            self.found.write(self.device),
            self.squared,
        )

    def check(self, bottom: Sequence[Blob]) -> None:
        """Raise LayerError for labels that name no class."""
        check_labels(self, self.found, bottom[1], self.classes)

    def backward(
        self, top: Sequence[Blob], propagate_down: Sequence[bool], bottom: Sequence[Blob]
    ) -> None:
        """Push the scores that are inside the margin."""
        if propagate_down[1]:
            raise self.error("labels have no gradient")
        if propagate_down[0]:
            self.ops.backward(
                self.margins.data.read(self.device),
                bottom[1].data.read(self.device).reshape(-1),
                bottom[0].diff.write(self.device).reshape(self.samples, self.classes),
                float(top[0].diff.read("cpu")) / max(1, self.samples),
                self.squared,
            )
