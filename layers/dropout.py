"""Dropout: while training, a random part of the elements is 0."""

from collections.abc import Sequence
from typing import Any

from minicaffe.blob import Blob
from minicaffe.layer import Layer
from minicaffe.proto import minicaffe_pb2 as pb
from minicaffe.random_stream.masks import draw_mask


class DropoutLayer(Layer):
    """Dropout (Srivastava et al., 2014), inverted: what is kept is scaled up; may run in place.

        TRAIN   y = x mask / (1 - ratio)        dx = dy mask / (1 - ratio)
        TEST    y = x                           dx = dy

    `dropout_param`: `dropout_ratio` (0.5), at least 0 and less than 1: the probability that an
    element is dropped. Every forward draws a new mask, one number an element in memory order from
    the thread's stream (`minicaffe.random_stream`): a seed gives Caffe's masks, bit for bit, on
    every device. Without a seed a device that can draws the mask itself.
    Bottom and top have the same shape.

        layer { type: "Input" name: "x" top: "x" input_param { shape { dim: 2 dim: 3 } } }
        layer { type: "Dropout" name: "y" bottom: "x" top: "y"
          dropout_param { dropout_ratio: 0.4 } }
    """

    kernels = ("dropout", "copy")
    steady = True
    positions = "kept"

    def setup(self, bottom: Sequence[Blob], top: Sequence[Blob]) -> None:
        """Read the ratio."""
        self.ratio: float = self.param.dropout_param.dropout_ratio
        if not 0 <= self.ratio < 1:
            raise self.error(f"dropout_ratio must be in [0, 1), it is {self.ratio:g}")
        self.mask = Blob()  # 1 where an element is kept, 0 where it is dropped

    def reshape(self, bottom: Sequence[Blob], top: Sequence[Blob]) -> None:
        """The top has the bottom's shape."""
        top[0].reshape_like(bottom[0])
        self.mask.reshape_like(bottom[0])
        self.overwrites = top[0] is bottom[0]

    def forward(self, bottom: Sequence[Blob], top: Sequence[Blob]) -> None:
        """Draw a mask and apply it."""
        if self.phase == pb.TRAIN:
            draw_mask(self.mask.data, 1 - self.ratio, self.device)
        self._apply(bottom[0].data.read(self.device), top[0].data.write(self.device))

    def backward(
        self, top: Sequence[Blob], propagate_down: Sequence[bool], bottom: Sequence[Blob]
    ) -> None:
        """Apply the same mask to the gradient."""
        if propagate_down[0]:
            self._apply(top[0].diff.read(self.device), bottom[0].diff.write(self.device))

    def _apply(self, source: Any, target: Any) -> None:
        if self.phase == pb.TRAIN:
            self.ops.apply(source, self.mask.data.read(self.device), target, 1 / (1 - self.ratio))
        elif not self.overwrites:
            self.ops_of("copy").copy(source, target)
