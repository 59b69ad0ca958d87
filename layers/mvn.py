"""MVN: every channel of every image to mean 0 and variance 1."""

from collections.abc import Sequence

from minicaffe.blob import Blob
from minicaffe.layer import Layer


class MVNLayer(Layer):
    """Mean-variance normalisation, each image by itself.

        y = (x - μ) / (σ + eps)        dx = (dy - mean(dy) - y mean(dy y)) / (σ + eps)

    with mean μ and (biased) standard deviation σ over the pixels of a channel. `mvn_param`:
    `normalize_variance` (true; false: only subtract μ), `across_channels` (false; true: μ and σ
    over the whole image), `eps` (1e-9, added to σ, not to the variance). Bottom and top have the
    same shape, (N, C, H, W); missing axes are 1.

        layer { type: "Input" name: "x" top: "x" input_param { shape { dim: 2 dim: 3 dim: 4 } } }
        layer { type: "MVN" name: "y" bottom: "x" top: "y" }
    """

    kernels = ("mvn",)
    needs_top = True
    positions = "kept"

    def setup(self, bottom: Sequence[Blob], top: Sequence[Blob]) -> None:
        """Read the parameters."""
        param = self.param.mvn_param
        self.normalize_variance: bool = param.normalize_variance
        self.across_channels: bool = param.across_channels
        self.eps: float = param.eps
        self.divisor = Blob()

    def reshape(self, bottom: Sequence[Blob], top: Sequence[Blob]) -> None:
        """The top has the bottom's shape; a row is what shares its mean."""
        if bottom[0].num_axes > 4:
            raise self.error(f"the bottom has at most 4 axes, its shape is {bottom[0].shape}")
        top[0].reshape_like(bottom[0])
        rows = bottom[0].num * (1 if self.across_channels else bottom[0].channels)
        self.divisor.reshape(rows)
        self.view = (rows, bottom[0].count() // rows if rows else 0)

    def forward(self, bottom: Sequence[Blob], top: Sequence[Blob]) -> None:
        """Normalise."""
        self.ops.forward(
            bottom[0].data.read(self.device).reshape(self.view),
            top[0].data.write(self.device).reshape(self.view),
            self.divisor.data.write(self.device),
            self.eps,
            self.normalize_variance,
        )

    def backward(
        self, top: Sequence[Blob], propagate_down: Sequence[bool], bottom: Sequence[Blob]
    ) -> None:
        """Remove from the gradient what normalisation makes ineffective."""
        if propagate_down[0]:
            self.ops.backward(
                top[0].data.read(self.device).reshape(self.view),
                top[0].diff.read(self.device).reshape(self.view),
                self.divisor.data.read(self.device),
                bottom[0].diff.write(self.device).reshape(self.view),
                self.normalize_variance,
            )
