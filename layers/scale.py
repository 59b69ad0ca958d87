"""Scale: y = scale x + bias, broadcast along the other axes."""

from collections.abc import Sequence

from minicaffe.blob import Blob
from minicaffe.filler import fill
from minicaffe.layer import Layer
from minicaffe.proto import minicaffe_pb2 as pb

from ._broadcast import operand_view, parameter_shape


class ScaleLayer(Layer):
    """Multiply by learned values, or by those of a second bottom, and add a bias if asked.

        y = s x + b        dx = s dy        ds = Σ dy x        db = Σ dy

    with the sums over the axes that s and b do not have. `scale_param`: `axis` (1), the axis of
    the bottom where those of s begin; `num_axes` (1), how many it spans (-1: all that follow,
    0: s is a scalar); `filler` (constant 1); `bias_term` (false); `bias_filler` (constant 0). With
    two bottoms s is the second, whose shape is that of bottom 0 from `axis` on.

    Bottom 0 and the top have the same shape; may run in place. Parameters: s unless it is a
    bottom, then b if `bias_term`, both of the shape of s.

        layer { type: "Input" name: "x" top: "x" input_param { shape { dim: 2 dim: 3 dim: 2 } } }
        layer { type: "Scale" name: "y" bottom: "x" top: "y" scale_param { bias_term: true } }
    """

    kernels = ("scale", "copy", "eltwise")
    steady = True
    bottoms = (1, 2)
    positions = "kept"

    def setup(self, bottom: Sequence[Blob], top: Sequence[Blob]) -> None:
        """Read the parameters; create s and b."""
        param = self.param.scale_param
        self.first_axis: int = param.axis
        self.bias_term: bool = param.bias_term
        if not self.blobs:
            if len(bottom) == 1:
                filler = param.filler if param.HasField("filler") else pb.FillerParameter(value=1)
                fill(self.blobs.add_blob(*parameter_shape(self, bottom[0], param)), filler)
            if self.bias_term:
                shape = (bottom[1] if len(bottom) == 2 else self.blobs[0]).shape
                fill(self.blobs.add_blob(*shape), param.bias_filler)
        self.param_propagate_down = [True] * len(self.blobs)
        self.input = Blob()  # what was there before it was overwritten in place

    def _scale(self, bottom: Sequence[Blob]) -> Blob:
        return bottom[1] if len(bottom) == 2 else self.blobs[0]

    def reshape(self, bottom: Sequence[Blob], top: Sequence[Blob]) -> None:
        """The top has the bottom's shape."""
        self.view = operand_view(self, bottom, self._scale(bottom), self.first_axis)
        top[0].reshape_like(bottom[0])
        if top[0] is bottom[0] and self.runs_back:
            self.input.reshape_like(bottom[0])
        else:
            self.input = bottom[0]

    def forward(self, bottom: Sequence[Blob], top: Sequence[Blob]) -> None:
        """Multiply, and add the bias."""
        device = self.device
        if self.input is not bottom[0]:
            self.ops_of("copy").copy(bottom[0].data.read(device), self.input.data.write(device))
        self.ops.forward(
            self.input.data.read(device).reshape(self.view),
            self._scale(bottom).data.read(device).reshape(-1),
            self.blobs[-1].data.read(device).reshape(-1) if self.bias_term else None,
            top[0].data.write(device).reshape(self.view),
        )

    def backward(
        self, top: Sequence[Blob], propagate_down: Sequence[bool], bottom: Sequence[Blob]
    ) -> None:
        """The gradients of b and s first: in place, the bottom's overwrites the top's."""
        device = self.device
        dy = top[0].diff.read(device).reshape(self.view)
        if self.bias_term and self.param_propagate_down[-1]:
            db = self.blobs[-1].diff.update(device).reshape(-1)
            self.ops.gradient(None, dy, db, True)
        x = self.input.data.read(device).reshape(self.view)
        if len(bottom) == 2:
            if propagate_down[1]:
                self.ops.gradient(x, dy, bottom[1].diff.write(device).reshape(-1), False)
        elif self.param_propagate_down[0]:
            self.ops.gradient(x, dy, self.blobs[0].diff.update(device).reshape(-1), True)
        if propagate_down[0]:
            scale = self._scale(bottom).data.read(device).reshape(-1)
            dx = bottom[0].diff.write(device).reshape(self.view)
            self.ops.forward(dy, scale, None, dx)
        elif top[0] is not bottom[0] and self._scale(bottom).count() != bottom[0].count():
            # Caffe uses the diff that nobody asked for to hold these products, and leaves them.
            dx = bottom[0].diff.write(device).reshape(self.view)
            self.ops_of("eltwise").product(x, dy, dx)
