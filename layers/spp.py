"""SPP: spatial pyramid pooling, a vector of fixed length from an image of any size."""

import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from minicaffe.blob import Blob, Shape, SyncedArray
from minicaffe.layer import Layer
from minicaffe.proto import minicaffe_pb2 as pb

from ._pooling import Pair, PoolingWindow


@dataclass
class Level:
    """One grid of the pyramid: its windows, its outputs and the positions of its maxima."""

    window: PoolingWindow
    pooled: Blob = field(default_factory=Blob)
    mask: SyncedArray = field(default_factory=lambda: SyncedArray((), "int32"))


class SPPLayer(Layer):
    """Pools the image on grids of 1, 2 x 2, 4 x 4 ... windows and joins the results (He et al.,
    Spatial Pyramid Pooling in Deep Convolutional Networks, 2014).

    A level of b x b bins pools with kernel = stride = ceil(H / b) and pad = (kernel b - H + 1) / 2
    without its fraction; it is rounded and clipped like Pooling.

    `spp_param`: `pyramid_height`, the number of levels; `pool`, MAX or AVE (STOCHASTIC is refused).

    Bottom: (N, C, H, W). Top: (N, C (1 + 4 + 16 + ...)), level by level; with a single level the
    pooled image (N, C, 1, 1).

        layer { type: "Input" name: "x" top: "x"
          input_param { shape { dim: 2 dim: 2 dim: 5 dim: 4 } } }
        layer { type: "SPP" name: "y" bottom: "x" top: "y" spp_param { pyramid_height: 2 } }
    """

    kernels = ("pooling", "copy", "split")
    in_place = False

    def setup(self, bottom: Sequence[Blob], top: Sequence[Blob]) -> None:
        """Read the parameters."""
        param = self.param.spp_param
        if param.pool == pb.SPPParameter.STOCHASTIC:
            raise self.error("pool STOCHASTIC is not built in: take MAX or AVE")
        if param.pyramid_height == 0:
            raise self.error("pyramid_height must be given and positive")
        self.height: int = param.pyramid_height
        self.max = param.pool == pb.SPPParameter.MAX
        self.copy_columns = self.ops_of("copy").copy_columns
        self.sum = self.ops_of("split").backward
        self.part = Blob()
        self.bottom_shape: Shape | None = None
        self.levels: list[Level] = []

    def reshape(self, bottom: Sequence[Blob], top: Sequence[Blob]) -> None:
        """The windows follow the size of the image."""
        shape = bottom[0].shape
        if shape != self.bottom_shape:
            if len(shape) != 4 or 0 in shape[1:]:
                raise self.error(f"bottom of shape {shape} must have 4 axes (N, C, H, W), none 0")
            self.bottom_shape = shape
            self._make_levels(shape)
        top[0].reshape(self.top_shape)

    def _make_levels(self, shape: Shape) -> None:
        images, channels, height, width = shape
        self.levels = []
        for number in range(self.height):  # a grid finer than the image is refused: it ends early
            level = Level(_window((height, width), 2**number))
            level.window.check(self, (height, width))
            self.levels.append(level)
            pooled = (images, channels, *level.window.pooled((height, width)))
            level.pooled.reshape(pooled)
            level.mask.resize(pooled)
        self.view = (images, sum(level.pooled.count(1) for level in self.levels))
        self.top_shape: Shape = self.view if self.height > 1 else self.levels[0].pooled.shape
        self.part.reshape(shape)

    def forward(self, bottom: Sequence[Blob], top: Sequence[Blob]) -> None:
        """Pool each level and copy it into its columns of the top."""
        x = bottom[0].data.read(self.device)
        y = top[0].data.write(self.device).reshape(self.view)
        start = 0
        for level in self.levels:
            pooled, window = level.pooled.data.write(self.device), level.window
            if self.max:
                mask = level.mask.write(self.device)
                self.ops.max_forward(x, pooled, mask, window.kernel, window.stride, window.pad)
            else:
                self.ops.average_forward(x, pooled, window.kernel, window.stride, window.pad)
            count = level.pooled.count(1)
            self.copy_columns(pooled.reshape(x.shape[0], count), 0, y, start, count)
            start += count

    def backward(
        self, top: Sequence[Blob], propagate_down: Sequence[bool], bottom: Sequence[Blob]
    ) -> None:
        """Sum what the levels give back."""
        if not propagate_down[0]:
            return
        dx = bottom[0].diff.write(self.device)
        dy = top[0].diff.read(self.device).reshape(self.view)
        start = 0
        for level in self.levels:
            count = level.pooled.count(1)
            gradient = level.pooled.diff.write(self.device)
            columns = gradient.reshape(gradient.shape[0], count)
            self.copy_columns(dy, start, columns, 0, count)
            if start == 0:
                self._backward_level(level, gradient, dx)
            else:
                part = self.part.diff.write(self.device)
                self._backward_level(level, gradient, part)
                self.sum([dx, part], dx)
            start += count

    def _backward_level(self, level: Level, gradient: Any, dx: Any) -> None:
        window = level.window
        if self.max:
            mask = level.mask.read(self.device)
            self.ops.max_backward(gradient, mask, dx, window.kernel, window.stride, window.pad)
        else:
            self.ops.average_backward(gradient, dx, window.kernel, window.stride, window.pad)

    def flops(self, bottom: Sequence[Blob], top: Sequence[Blob]) -> int:
        """One for each value of each window of each level."""
        return sum(level.pooled.count() * math.prod(level.window.kernel) for level in self.levels)


def _window(extents: Pair, bins: int) -> PoolingWindow:
    """The window that cuts an image into bins x bins parts."""
    height, width = extents
    kernel = (math.ceil(height / bins), math.ceil(width / bins))
    pad = ((kernel[0] * bins - height + 1) // 2, (kernel[1] * bins - width + 1) // 2)
    return PoolingWindow(kernel, kernel, pad)
