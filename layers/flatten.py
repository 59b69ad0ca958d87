"""Flatten: several axes become one."""

import math
from collections.abc import Sequence

from minicaffe.blob import Blob
from minicaffe.layer import Layer


class FlattenLayer(Layer):
    """Merge a run of axes into one; the values and their order stay.

    `flatten_param`: `axis` (1), the first axis of the run; `end_axis` (-1), the last one. The top
    shares the bottom's data and diff: nothing is copied.

        layer { type: "Input" name: "x" top: "x" input_param { shape { dim: 2 dim: 3 dim: 2 } } }
        layer { type: "Flatten" name: "y" bottom: "x" top: "y" }
    """

    in_place = False
    shares = True
    steady = True

    def setup(self, bottom: Sequence[Blob], top: Sequence[Blob]) -> None:
        """Read the run of axes."""
        param = self.param.flatten_param
        self.first_axis: int = param.axis
        self.end_axis: int = param.end_axis

    def reshape(self, bottom: Sequence[Blob], top: Sequence[Blob]) -> None:
        """The top is another view of the bottom."""
        shape = bottom[0].shape
        first = self.axis(bottom[0], self.first_axis)
        last = self.axis(bottom[0], self.end_axis, "end_axis")
        if last < first:
            raise self.error(f"end_axis {last} is before axis {first} (bottom {shape})")
        merged = math.prod(shape[first : last + 1])
        top[0].reshape((*shape[:first], merged, *shape[last + 1 :]))
        top[0].share_data(bottom[0])
        top[0].share_diff(bottom[0])

    def forward(self, bottom: Sequence[Blob], top: Sequence[Blob]) -> None:
        """The values are there."""

    def backward(
        self, top: Sequence[Blob], propagate_down: Sequence[bool], bottom: Sequence[Blob]
    ) -> None:
        """The gradients are there."""
