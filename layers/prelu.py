"""PReLU: y = max(x, 0) + slope * min(x, 0), with learnable slopes."""

from collections.abc import Sequence

from minicaffe.blob import Blob
from minicaffe.filler import fill
from minicaffe.layer import Layer
from minicaffe.proto import minicaffe_pb2 as pb


class PReLULayer(Layer):
    """Rectifier with a learnable slope a channel (He et al., 2015); may run in place.

        y = x where x > 0, slope_c x elsewhere
        dx = dy where x > 0, slope_c dy elsewhere        dslope_c += Σ dy x where x <= 0

    `prelu_param`: `filler` (constant 0.25), `channel_shared` (false): one slope for all channels.
    Bottom and top (N, C, ...) have the same shape. Parameter: slope (C), or () when shared.

        layer { type: "Input" name: "x" top: "x" input_param { shape { dim: 2 dim: 3 dim: 2 } } }
        layer { type: "PReLU" name: "y" bottom: "x" top: "y" }
    """

    kernels = ("prelu", "copy")
    steady = True
    positions = "kept"

    def setup(self, bottom: Sequence[Blob], top: Sequence[Blob]) -> None:
        """Read the parameters; create the slopes."""
        param = self.param.prelu_param
        self.shared: bool = param.channel_shared
        self._check_axes(bottom[0])
        if not self.blobs:
            default = pb.FillerParameter(type="constant", value=0.25)
            shape = () if self.shared else (bottom[0].shape[1],)
            fill(self.blobs.add_blob(*shape), param.filler if param.HasField("filler") else default)
        slopes = 1 if self.shared else bottom[0].shape[1]
        if self.blobs[0].count() != slopes:
            raise self.error(f"needs {slopes} slopes, has a parameter of {self.blobs[0].shape}")
        self.param_propagate_down = [True]
        self.input = Blob()  # what was there before it was overwritten in place

    def _check_axes(self, bottom: Blob) -> None:
        if bottom.num_axes < 2:
            raise self.error(f"the bottom needs 2 axes or more, its shape is {bottom.shape}")

    def reshape(self, bottom: Sequence[Blob], top: Sequence[Blob]) -> None:
        """The top has the bottom's shape, whose number of channels is fixed."""
        self._check_axes(bottom[0])
        shape = bottom[0].shape
        if not self.shared and shape[1] != self.blobs[0].count():
            raise self.error(f"bottom {shape} has not the slopes' {self.blobs[0].count()} channels")
        self.view = (1, 1, -1) if self.shared else (shape[0], shape[1], bottom[0].count(2))
        top[0].reshape_like(bottom[0])
        if top[0] is bottom[0] and self.runs_back:
            self.input.reshape_like(bottom[0])
        else:
            self.input = bottom[0]

    def forward(self, bottom: Sequence[Blob], top: Sequence[Blob]) -> None:
        """Rectify."""
        if self.input is not bottom[0]:
            self.ops_of("copy").copy(
                bottom[0].data.read(self.device), self.input.data.write(self.device)
            )
        self.ops.forward(
            self.input.data.read(self.device).reshape(self.view),
            self.blobs[0].data.read(self.device).reshape(-1),
            top[0].data.write(self.device).reshape(self.view),
        )

    def backward(
        self, top: Sequence[Blob], propagate_down: Sequence[bool], bottom: Sequence[Blob]
    ) -> None:
        """Add to the slopes' gradient first: in place, the bottom's overwrites the top's."""
        x = self.input.data.read(self.device).reshape(self.view)
        dy = top[0].diff.read(self.device).reshape(self.view)
        if self.param_propagate_down[0]:
            dslope = self.blobs[0].diff.update(self.device).reshape(-1)
            self.ops.backward_slope(x, dy, dslope)
        if propagate_down[0]:
            slope = self.blobs[0].data.read(self.device).reshape(-1)
            dx = bottom[0].diff.write(self.device).reshape(self.view)
            self.ops.backward_data(x, slope, dy, dx)
