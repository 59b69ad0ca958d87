"""LRN: local response normalization, among channels or among pixels."""

from collections.abc import Sequence

from minicaffe.blob import Blob
from minicaffe.layer import Layer
from minicaffe.proto import minicaffe_pb2 as pb

from ._engine import check_engine


class LRNLayer(Layer):
    """Divides each value by the energy of its neighbourhood (Krizhevsky et al. 2012).

        y = x s^-beta
        s = k + alpha/n Σ x² over n channels (ACROSS_CHANNELS)
        s = 1 + alpha/n² Σ x² over n x n pixels (WITHIN_CHANNEL)
        dx = dy s^-beta - 2 a beta x Σ dy y / s, a being alpha/n or alpha/n², over the same windows

    `lrn_param`: `local_size` n (5), odd; `alpha` (1), `beta` (0.75), `k` (1; WITHIN_CHANNEL does
    not look at it, as in Caffe); `norm_region` (ACROSS_CHANNELS). What lies outside counts as 0,
    the divisor stays. Bottom and top: (N, C, H, W).

        layer { type: "Input" name: "x" top: "x"
          input_param { shape { dim: 2 dim: 4 dim: 3 dim: 3 } } }
        layer { type: "LRN" name: "y" bottom: "x" top: "y" lrn_param { local_size: 3 alpha: 0.5 } }
    """

    kernels = ("lrn",)
    steady = True
    needs_top = True
    in_place = False
    positions = "kept"

    def setup(self, bottom: Sequence[Blob], top: Sequence[Blob]) -> None:
        """Read the parameters; the sums s are kept for backward."""
        param = self.param.lrn_param
        check_engine(self, param)
        if param.local_size % 2 == 0:
            raise self.error(f"local_size {param.local_size} must be odd")
        self.size: int = param.local_size
        self.within = param.norm_region == pb.LRNParameter.WITHIN_CHANNEL
        self.alpha: float = param.alpha
        self.beta: float = param.beta
        self.k: float = 1.0 if self.within else param.k
        self.scale = Blob()
        self.ratio = Blob()

    def reshape(self, bottom: Sequence[Blob], top: Sequence[Blob]) -> None:
        """The top has the bottom's shape."""
        if bottom[0].num_axes != 4:
            raise self.error(f"bottom of shape {bottom[0].shape} must have 4 axes (N, C, H, W)")
        for blob in (top[0], self.scale, self.ratio):
            blob.reshape_like(bottom[0])

    def forward(self, bottom: Sequence[Blob], top: Sequence[Blob]) -> None:
        """Sum the squares of each neighbourhood, and divide by a power of it."""
        forward = self.ops.within_forward if self.within else self.ops.across_forward
        forward(
            bottom[0].data.read(self.device),
            self.scale.data.write(self.device),
            top[0].data.write(self.device),
            self.size,
            self.alpha,
            self.beta,
            self.k,
        )

    def backward(
        self, top: Sequence[Blob], propagate_down: Sequence[bool], bottom: Sequence[Blob]
    ) -> None:
        """The value's own share, less what it does to its neighbours."""
        if propagate_down[0]:
            backward = self.ops.within_backward if self.within else self.ops.across_backward
            backward(
                bottom[0].data.read(self.device),
                self.scale.data.read(self.device),
                top[0].data.read(self.device),
                top[0].diff.read(self.device),
                bottom[0].diff.write(self.device),
                self.ratio.data.write(self.device),
                self.size,
                self.alpha,
                self.beta,
            )

    def flops(self, bottom: Sequence[Blob], top: Sequence[Blob]) -> int:
        """One for each value of each neighbourhood."""
        return bottom[0].count() * self.size ** (2 if self.within else 1)
