"""Accuracy: the share of samples whose class is among the top k scores."""

from collections.abc import Sequence

from minicaffe.blob import Blob, SyncedArray
from minicaffe.layer import Layer

from ._labels import check_labels, check_labels_fit


class AccuracyLayer(Layer):
    """The share of positions whose label is among the `top_k` highest scores; no gradient.

    A position is right when fewer than top_k other classes score at least as high as its label:
    ties count against it.

    `accuracy_param`: `top_k` (1); `axis` (1), that of the C classes; `ignore_label` (none).

    Bottoms: scores (N, C, ...), and one label for each position, truncated to integers, 0 .. C - 1.
    Tops: the accuracy, a scalar (0 without a single label); and, when asked for, that of each
    class (C), 0 for classes without samples. Raises LayerError for other labels.

        layer { type: "Input" name: "x" top: "x" input_param { shape { dim: 2 dim: 3 } } }
        layer { type: "Input" name: "label" top: "label" input_param { shape { dim: 2 } } }
        layer { type: "Accuracy" name: "accuracy" bottom: "x" bottom: "label" top: "accuracy" }
    """

    kernels = ("accuracy",)
    bottoms = (2, 2)
    tops = (1, 2)
    checked_bottom = 1

    def setup(self, bottom: Sequence[Blob], top: Sequence[Blob]) -> None:
        """Read the parameters."""
        param = self.param.accuracy_param
        self.top_k: int = param.top_k
        self.class_axis: int = param.axis
        self.ignore = param.ignore_label if param.HasField("ignore_label") else None
        self.hits = Blob()
        self.found = SyncedArray((2,), "int32")

    def reshape(self, bottom: Sequence[Blob], top: Sequence[Blob]) -> None:
        """Check that there is one label for each position of the scores, and enough classes."""
        self.view = check_labels_fit(self, bottom, self.class_axis)
        outer, classes, inner = self.view
        if self.top_k > classes:
            raise self.error(f"top_k {self.top_k} is more than the {classes} classes")
        self.hits.reshape(outer, inner)
        top[0].reshape(())
        if len(top) > 1:
            top[1].reshape(classes)

    def forward(self, bottom: Sequence[Blob], top: Sequence[Blob]) -> None:
        """Count the positions that are right."""
        outer, _, inner = self.view
        labels = bottom[1].data.read(self.device).reshape(outer, inner)
        hits = self.hits.data.write(self.device)
        self.ops.forward(
            bottom[0].data.read(self.device).reshape(self.view),
            labels,
            hits,
            top[0].data.write(self.device).reshape(1),
            self.found.write(self.device),
            self.top_k,
            self.ignore,
        )
        if len(top) > 1:
            self.ops.per_class(hits, labels, top[1].data.write(self.device), self.ignore)

    def check(self, bottom: Sequence[Blob]) -> None:
        """Raise LayerError for labels that name no class."""
        check_labels(self, self.found, bottom[1], self.view[1], self.ignore)
