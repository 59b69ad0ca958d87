"""Reshape: the same values under another shape."""

import math
from collections.abc import Sequence

from minicaffe.blob import Blob, Shape
from minicaffe.layer import Layer


class ReshapeLayer(Layer):
    """Replace the shape, or a run of its axes; the values and their order stay.

    `reshape_param`: `shape`, whose dims stand for those of the run: a positive one is taken, 0
    copies the bottom's dim at this index, -1 (once at most) is inferred from the count; `axis` (0),
    where the run begins (negative: counted from the end, so that -1 appends);
    `num_axes` (-1), how many axes it has (-1: all that follow, 0: none, the dims are inserted).
    The top shares the bottom's data and diff: nothing is copied.

        layer { type: "Input" name: "x" top: "x" input_param { shape { dim: 2 dim: 3 dim: 2 } } }
        layer { type: "Reshape" name: "y" bottom: "x" top: "y"
          reshape_param { shape { dim: 0 dim: -1 dim: 1 } } }
    """

    in_place = False
    shares = True
    steady = True

    def setup(self, bottom: Sequence[Blob], top: Sequence[Blob]) -> None:
        """Read the dims."""
        param = self.param.reshape_param
        self.dims = list(param.shape.dim)
        self.start: int = param.axis
        self.num_axes: int = param.num_axes
        if self.dims.count(-1) > 1:
            raise self.error(f"only one dim can be inferred (-1), shape has {self.dims}")
        if min(self.dims, default=0) < -1:
            raise self.error(f"dims are -1, 0 or positive, shape has {self.dims}")
        if self.num_axes < -1:
            raise self.error(f"num_axes must be -1 or more, it is {self.num_axes}")

    def _run(self, shape: Shape) -> tuple[int, int]:
        """The run of axes that is replaced: its first and the one after its last."""
        axes = len(shape)
        start = self.start if self.start >= 0 else axes + self.start + 1
        end = axes if self.num_axes == -1 else start + self.num_axes
        if not 0 <= start <= axes or end > axes:
            raise self.error(f"axis {self.start} with num_axes {self.num_axes} is outside {shape}")
        return start, end

    def _new_shape(self, shape: Shape) -> Shape:
        start, end = self._run(shape)
        dims = list(self.dims)
        for index, dim in enumerate(dims):
            if dim == 0:
                if start + index >= len(shape):
                    raise self.error(f"dim {index} is 0, but bottom {shape} has no such axis")
                dims[index] = shape[start + index]
        known = math.prod(shape[:start]) * math.prod(shape[end:])
        if -1 in dims:
            known *= math.prod(dim for dim in dims if dim != -1)
            if known == 0 or math.prod(shape) % known:
                raise self.error(
                    f"cannot infer the dim -1 of {self.dims}: bottom {shape} holds "
                    f"{math.prod(shape)} values, the other dims {known}"
                )
            dims[dims.index(-1)] = math.prod(shape) // known
        return (*shape[:start], *dims, *shape[end:])

    def reshape(self, bottom: Sequence[Blob], top: Sequence[Blob]) -> None:
        """The top is another view of the bottom."""
        shape = self._new_shape(bottom[0].shape)
        if math.prod(shape) != bottom[0].count():
            raise self.error(
                f"bottom {bottom[0].shape} holds {bottom[0].count()} values, "
                f"the new shape {shape} {math.prod(shape)}"
            )
        top[0].reshape(shape)
        top[0].share_data(bottom[0])
        top[0].share_diff(bottom[0])

    def forward(self, bottom: Sequence[Blob], top: Sequence[Blob]) -> None:
        """The values are there."""

    def backward(
        self, top: Sequence[Blob], propagate_down: Sequence[bool], bottom: Sequence[Blob]
    ) -> None:
        """The gradients are there."""
