"""InfogainLoss: cross-entropy in which a matrix says what each confusion costs."""

from collections.abc import Sequence

from minicaffe.blob import Blob, SyncedArray
from minicaffe.errors import ParseError
from minicaffe.layer import LossLayer
from minicaffe.proto import minicaffe_pb2 as pb
from minicaffe.proto.files import blob_from_proto, read_binary

from ._labels import check_labels, check_labels_fit
from ._normalization import divisor, read_normalization


class InfogainLossLayer(LossLayer):
    """SoftmaxWithLoss, generalised: H = identity is the same loss.

        loss = -1/n Σ_c H[label, c] log max(p_c, 1e-20), p = softmax(x)
        dx_c = (p_c Σ_k H[label, k] - H[label, c]) / n

    `infogain_loss_param`: `source`, a BlobProto file with the C x C values of H, unless H is
    bottom 2; `axis` (1), that of the C classes. `loss_param`: `ignore_label` (none) and
    `normalization` (VALID) as for SoftmaxWithLoss; the old `normalize` is refused.

    Bottoms: scores (N, C, ...), as many labels as scores / C, and H, with C * C values, which has
    no gradient. Tops: a scalar; and, when asked for, the probabilities, with loss_weight 0. Raises
    LayerError for labels that name no class.

        layer { type: "Input" name: "x" top: "x" input_param { shape { dim: 2 dim: 3 } } }
        layer { type: "Input" name: "label" top: "label" input_param { shape { dim: 2 } } }
        layer { type: "Input" name: "gain" top: "gain" input_param { shape { dim: 3 dim: 3 } } }
        layer { type: "InfogainLoss" name: "loss" bottom: "x" bottom: "label" bottom: "gain"
          top: "loss" }
    """

    kernels = ("infogain_loss", "softmax")
    bottoms = (2, 3)
    tops = (1, 2)
    small_files = (*LossLayer.small_files, "infogain_loss_param.source")
    checked_bottom = 1

    def setup(self, bottom: Sequence[Blob], top: Sequence[Blob]) -> None:
        """Read the parameters, and the matrix unless it is a bottom."""
        param, loss_param = self.param.infogain_loss_param, self.param.loss_param
        if loss_param.HasField("normalize"):
            raise self.error("the old field `normalize` is refused: give `normalization`")
        self.class_axis: int = param.axis
        self.ignore = loss_param.ignore_label if loss_param.HasField("ignore_label") else None
        self.normalization = read_normalization(loss_param, pb.LossParameter.VALID)
        self.softmax = self.ops_of("softmax")
        self.prob = Blob()
        self.losses = Blob()
        self.found = SyncedArray((2,), "int32")
        self.matrix = bottom[2] if len(bottom) == 3 else self._read_matrix(param)

    def _read_matrix(self, param: pb.InfogainLossParameter) -> Blob:
        if not param.source:
            raise self.error("needs the matrix H: give `source`, or a third bottom")
        try:
            values = blob_from_proto(read_binary(param.source, pb.BlobProto()))
        except ParseError as error:
            raise self.error(f"source: {error}") from error
        matrix = Blob(values.shape)
        matrix.data[...] = values
        return matrix

    def reshape(self, bottom: Sequence[Blob], top: Sequence[Blob]) -> None:
        """Check that there is a label for each position, and an H for the classes."""
        super().reshape(bottom, top)
        self.view = check_labels_fit(self, bottom, self.class_axis)
        outer, classes, inner = self.view
        self.divisor = divisor(self.normalization, outer, inner)
        if self.matrix.count() != classes**2:
            raise self.error(
                f"H of shape {self.matrix.shape} does not fit {classes} classes: it must have "
                f"{classes} x {classes} values"
            )
        self.prob.reshape_like(bottom[0])
        self.losses.reshape(outer, inner)
        if len(top) > 1:
            top[1].reshape_like(bottom[0])

    def forward(self, bottom: Sequence[Blob], top: Sequence[Blob]) -> None:
        """Softmax, then the gain of each label."""
        outer, classes, inner = self.view
        prob = self.prob.data.write(self.device).reshape(self.view)
        self.softmax.forward(bottom[0].data.read(self.device).reshape(self.view), prob)
        self.ops.forward(
            prob,
            bottom[1].data.read(self.device).reshape(outer, inner),
            self.matrix.data.read(self.device).reshape(classes, classes),
            self.losses.data.write(self.device),
            top[0].data.write(self.device).reshape(1),
            self.found.write(self.device),
            self.divisor,
            self.ignore,
        )
        if len(top) > 1:
            top[1].share_data(self.prob)

    def check(self, bottom: Sequence[Blob]) -> None:
        """Raise LayerError for labels that name no class."""
        check_labels(self, self.found, bottom[1], self.view[1], self.ignore)

    def backward(
        self, top: Sequence[Blob], propagate_down: Sequence[bool], bottom: Sequence[Blob]
    ) -> None:
        """Probabilities times the label's gains, less the gain of each class."""
        if any(propagate_down[1:]):
            raise self.error("labels and H have no gradient")
        if propagate_down[0]:
            outer, classes, inner = self.view
            self.ops.backward(
                self.prob.data.read(self.device).reshape(self.view),
                bottom[1].data.read(self.device).reshape(outer, inner),
                self.matrix.data.read(self.device).reshape(classes, classes),
                bottom[0].diff.write(self.device).reshape(self.view),
                float(top[0].diff.read("cpu")),
                self.found.read(self.device),
                self.ignore,
            )

    def allow_force_backward(self, index: int) -> bool:
        """Labels and H have no gradient."""
        return index == 0
