"""BatchNorm: every channel to mean 0 and variance 1 over the batch."""

from collections.abc import Sequence

from minicaffe.blob import Blob
from minicaffe.layer import Layer
from minicaffe.proto import minicaffe_pb2 as pb


class BatchNormLayer(Layer):
    """Batch normalisation (Ioffe and Szegedy, 2015) without scale and shift: put a Scale layer
    with `bias_term` after it. May run in place.

        y = (x - μ) / sqrt(σ² + eps)
        dx = (dy - mean(dy) - y mean(dy y)) / sqrt(σ² + eps)      dx = dy / sqrt(σ² + eps) (stored)

    In TRAIN, μ and σ² (biased) are those of a channel over the m values of the batch, and every
    forward adds them to the stored sums; in TEST they are the stored ones. `batch_norm_param`:
    `use_global_stats` (false in TRAIN, true in TEST): take the stored ones;
    `moving_average_fraction` f (0.999); `eps` (1e-5).

    Bottom and top (N, C, ...) have the same shape. Parameters, which no solver changes (their
    `lr_mult` must be 0, and is by default): mean (C) <- f mean + μ, variance (C) <- f variance +
    m / (m - 1) σ², and factor (1) <- f factor + 1, by which the stored two are to be divided.

        layer { type: "Input" name: "x" top: "x" input_param { shape { dim: 4 dim: 3 dim: 2 } } }
        layer { type: "BatchNorm" name: "y" bottom: "x" top: "y" }
    """

    kernels = ("batch_norm",)
    steady = True
    positions = "kept"

    def setup(self, bottom: Sequence[Blob], top: Sequence[Blob]) -> None:
        """Read the parameters; create the stored statistics and keep the solver off them."""
        param = self.param.batch_norm_param
        self.use_global_stats: bool = (
            param.use_global_stats if param.HasField("use_global_stats") else self.phase == pb.TEST
        )
        self.fraction: float = param.moving_average_fraction
        self.eps: float = param.eps
        if bottom[0].num_axes < 2:
            raise self.error(f"the bottom needs 2 axes or more, its shape is {bottom[0].shape}")
        self.channels = bottom[0].shape[1]
        if not self.blobs:
            for count in (self.channels, self.channels, 1):
                self.blobs.add_blob(count)
        if [blob.count() for blob in self.blobs] != [self.channels, self.channels, 1]:
            given = [blob.shape for blob in self.blobs]
            raise self.error(f"needs blobs of {self.channels}, {self.channels} and 1, not {given}")
        while len(self.param.param) < len(self.blobs):
            self.param.param.add(lr_mult=0)
        if any(spec.lr_mult != 0 for spec in self.param.param):
            raise self.error("lr_mult must be 0: the statistics are not learned by the solver")
        self.param_propagate_down = [False] * len(self.blobs)
        self.mean, self.variance = Blob((self.channels,)), Blob((self.channels,))
        self.x_norm = Blob()

    def reshape(self, bottom: Sequence[Blob], top: Sequence[Blob]) -> None:
        """The top has the bottom's shape, whose number of channels is fixed."""
        shape = bottom[0].shape
        if len(shape) < 2 or shape[1] != self.channels:
            raise self.error(f"the statistics are for {self.channels} channels, bottom is {shape}")
        self.view = (shape[0], shape[1], bottom[0].count(2))
        top[0].reshape_like(bottom[0])
        if not self.use_global_stats:
            self.x_norm.reshape(self.view)

    def forward(self, bottom: Sequence[Blob], top: Sequence[Blob]) -> None:
        """Normalise; by the batch's own statistics, also take these into the stored ones."""
        device = self.device
        x = bottom[0].data.read(device).reshape(self.view)
        y = top[0].data.write(device).reshape(self.view)
        mean, variance = self.mean.data.write(device), self.variance.data.write(device)
        if self.use_global_stats:
            self.take_averages()
            self.ops.forward_given(x, mean, variance, self.eps, y)
        else:
            x_norm = self.x_norm.data.write(device)
            self.ops.forward_batch(x, mean, variance, self.eps, x_norm, y)
            self.accumulate()

    def take_averages(self) -> None:
        """Write the stored statistics, divided by their factor, into mean and variance."""
        sums = (blob.data.read(self.device) for blob in self.blobs)
        mean, variance = self.mean.data.write(self.device), self.variance.data.write(self.device)
        self.ops.averages(*sums, mean, variance)

    def accumulate(self) -> None:
        """Take mean and variance, which are those of a batch, into the stored statistics."""
        mean, variance = self.mean.data.read(self.device), self.variance.data.read(self.device)
        sums = (blob.data.update(self.device) for blob in self.blobs)
        per_channel = self.view[0] * self.view[2]  # m
        self.ops.accumulate(mean, variance, self.fraction, per_channel, *sums)

    def backward(
        self, top: Sequence[Blob], propagate_down: Sequence[bool], bottom: Sequence[Blob]
    ) -> None:
        """Scale the gradient, and remove what moves mean and variance if these were the batch's."""
        if propagate_down[0]:
            self.ops.backward(
                None if self.use_global_stats else self.x_norm.data.read(self.device),
                top[0].diff.read(self.device).reshape(self.view),
                self.variance.data.read(self.device),
                self.eps,
                bottom[0].diff.write(self.device).reshape(self.view),
            )
