"""RMSNorm: every sample to a root mean square of 1."""

from collections.abc import Sequence

from minicaffe.blob import Blob
from minicaffe.layer import Layer


class RMSNormLayer(Layer):
    """Root mean square normalisation (Zhang and Sennrich, 2019) without a scale; may run in place.

        y = x / r,  r = sqrt(mean(x²) + eps)        dx = (dy - y mean(dy y)) / r

    Means are over all axes of a sample from axis 1 on. `mvn_param`: `eps` (1e-9).

    Bottom and top (N, ...) have the same shape.

        layer { type: "Input" name: "x" top: "x" input_param { shape { dim: 3 dim: 4 dim: 2 } } }
        layer { type: "RMSNorm" name: "y" bottom: "x" top: "y" mvn_param { eps: 0.001 } }
    """

    kernels = ("rms_norm",)
    parameters = "mvn"
    positions = "kept"
    needs_top = True

    def setup(self, bottom: Sequence[Blob], top: Sequence[Blob]) -> None:
        """Read eps."""
        if bottom[0].num_axes < 2:
            raise self.error(f"the bottom needs 2 axes or more, its shape is {bottom[0].shape}")
        self.eps: float = self.param.mvn_param.eps
        self.root = Blob()

    def reshape(self, bottom: Sequence[Blob], top: Sequence[Blob]) -> None:
        """The top has the bottom's shape."""
        top[0].reshape_like(bottom[0])
        self.view = (bottom[0].shape[0], bottom[0].count(1))
        self.root.reshape(self.view[:1])

    def forward(self, bottom: Sequence[Blob], top: Sequence[Blob]) -> None:
        """Divide each sample by its root mean square."""
        self.ops.forward(
            bottom[0].data.read(self.device).reshape(self.view),
            top[0].data.write(self.device).reshape(self.view),
            self.root.data.write(self.device),
            self.eps,
        )

    def backward(
        self, top: Sequence[Blob], propagate_down: Sequence[bool], bottom: Sequence[Blob]
    ) -> None:
        """Take off what would only make the sample longer."""
        if propagate_down[0]:
            self.ops.backward(
                top[0].data.read(self.device).reshape(self.view),
                top[0].diff.read(self.device).reshape(self.view),
                self.root.data.read(self.device),
                bottom[0].diff.write(self.device).reshape(self.view),
            )
