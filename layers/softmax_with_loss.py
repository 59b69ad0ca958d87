"""SoftmaxWithLoss: the cross-entropy of softmax(scores) and integer labels."""

from collections.abc import Sequence

import numpy as np

from minicaffe.blob import Blob, Shape, SyncedArray
from minicaffe.layer import LossLayer
from minicaffe.proto import minicaffe_pb2 as pb

from ._engine import check_engine
from ._labels import check_labels, check_labels_fit
from ._normalization import divisor, read_normalization

SMALLEST = float(np.finfo(np.float32).tiny)  # no probability counts as less: FLT_MIN


class SoftmaxWithLossLayer(LossLayer):
    """Multinomial logistic loss of a softmax, computed together so that it is stable.

        loss = -1/n Σ log max(p_label, FLT_MIN), p = softmax(x)        dx = (p - [c = label]) / n

    `softmax_param`: `axis` (1), that of the C classes. `loss_param`: `ignore_label` (none): such
    positions have no loss and no gradient; `normalization` (VALID) gives n: FULL all positions,
    VALID those not ignored, BATCH_SIZE the images, NONE 1; n is at least 1.

    Bottoms: scores (N, C, ...), and as many labels as scores / C, of any shape that begins with N;
    they are truncated to integers, 0 .. C - 1. Top: a scalar. Raises LayerError for other labels.

        layer { type: "Input" name: "x" top: "x" input_param { shape { dim: 2 dim: 3 dim: 2 } } }
        layer { type: "Input" name: "label" top: "label" input_param { shape { dim: 2 dim: 2 } } }
        layer { type: "SoftmaxWithLoss" name: "loss" bottom: "x" bottom: "label" top: "loss" }
    """

    kernels = ("cross_entropy",)
    parameters = "loss"
    checked_bottom = 1

    def setup(self, bottom: Sequence[Blob], top: Sequence[Blob]) -> None:
        """Read the parameters."""
        check_engine(self, self.param.softmax_param)
        loss_param = self.param.loss_param
        self.class_axis: int = self.param.softmax_param.axis
        self.ignore = loss_param.ignore_label if loss_param.HasField("ignore_label") else None
        self.normalization = read_normalization(loss_param, pb.LossParameter.VALID)
        self.prob = Blob()
        self.losses = Blob()
        self.found = SyncedArray((2,), "int32")
        self.shapes: tuple[Shape, ...] = ()  # for which all is prepared

    def reshape(self, bottom: Sequence[Blob], top: Sequence[Blob]) -> None:
        """Check that there is one label for each position of the scores."""
        shapes = bottom[0].shape, bottom[1].shape
        if shapes == self.shapes:
            return
        super().reshape(bottom, top)
        self.view = check_labels_fit(self, bottom, self.class_axis)
        self.divisor = divisor(self.normalization, self.view[0], self.view[2])
        self.prob.reshape(self.view)
        self.losses.reshape(self.view[0], self.view[2])
        self.shapes = shapes

    def forward(self, bottom: Sequence[Blob], top: Sequence[Blob]) -> None:
        """Softmax, then the mean of -log p over the labels that count."""
        outer, _, inner = self.view
        self.ops.forward_scores(
            bottom[0].data.read(self.device).reshape(self.view),
            bottom[1].data.read(self.device).reshape(outer, inner),
            self.prob.data.write(self.device),
            self.losses.data.write(self.device),
            top[0].data.write(self.device).reshape(1),
            self.found.write(self.device),
            SMALLEST,
            self.divisor,
            self.ignore,
        )

    def check(self, bottom: Sequence[Blob]) -> None:
        """Raise LayerError for labels that name no class."""
        check_labels(self, self.found, bottom[1], self.view[1], self.ignore)

    def backward(
        self, top: Sequence[Blob], propagate_down: Sequence[bool], bottom: Sequence[Blob]
    ) -> None:
        """Probabilities minus the one-hot labels, scaled."""
        if propagate_down[1]:
            raise self.error("labels have no gradient")
        if propagate_down[0]:
            outer, _, inner = self.view
            self.ops.backward_scores(
                self.prob.data.read(self.device),
                bottom[1].data.read(self.device).reshape(outer, inner),
                bottom[0].diff.write(self.device).reshape(self.view),
                float(top[0].diff.read("cpu")),
                self.found.read(self.device),
                self.ignore,
            )
