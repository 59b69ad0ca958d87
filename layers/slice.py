"""Slice: one blob cut into several, along one axis."""

from collections.abc import Sequence
from itertools import pairwise

from minicaffe.blob import Blob
from minicaffe.layer import Layer

from ._joined_axis import joined_axis


class SliceLayer(Layer):
    """Cut a blob along an axis.

        [y_0, y_1, ...] = x        dx = [dy_0, dy_1, ...]

    `slice_param`: `axis` (1), or its old form `slice_dim`; `slice_point`, where along the axis the
    second, third ... top begins; without it all tops are equally long. A single top is not copied:
    it shares the bottom's memory.

        layer { type: "Input" name: "x" top: "x" input_param { shape { dim: 2 dim: 3 dim: 2 } } }
        layer { type: "Slice" name: "s" bottom: "x" top: "a" top: "b"
          slice_param { slice_point: 1 } }
    """

    kernels = ("copy",)
    tops = (1, None)
    in_place = False
    moves = True

    def setup(self, bottom: Sequence[Blob], top: Sequence[Blob]) -> None:
        """Read the axis and the points."""
        self.along = joined_axis(self, self.param.slice_param, "slice_dim")
        self.points = list(self.param.slice_param.slice_point)
        if self.points and len(self.points) != len(top) - 1:
            raise self.error(f"{len(self.points)} slice_points make {len(self.points) + 1} tops, "
                             f"there are {len(top)}")  # fmt: skip

    def _lengths(self, length: int, tops: int) -> list[int]:
        """What each top gets of the axis."""
        if not self.points:
            if length % tops:
                raise self.error(f"an axis of {length} does not divide into {tops} equal tops")
            return [length // tops] * tops
        bounds = [0, *self.points, length]
        lengths = [end - start for start, end in pairwise(bounds)]
        if min(lengths) <= 0:
            raise self.error(f"slice_points {self.points} must increase, from 1 to {length - 1}")
        return lengths

    def reshape(self, bottom: Sequence[Blob], top: Sequence[Blob]) -> None:
        """Divide the axis among the tops."""
        axis = self.axis(bottom[0], self.along)
        shape = bottom[0].shape
        for blob, length in zip(top, self._lengths(shape[axis], len(top)), strict=True):
            blob.reshape((*shape[:axis], length, *shape[axis + 1 :]))
        if len(top) == 1:
            top[0].share_data(bottom[0])
            top[0].share_diff(bottom[0])
        self.rows = bottom[0].count(0, axis)
        self.columns = [blob.count(axis) for blob in top]  # that each top takes of a row

    def forward(self, bottom: Sequence[Blob], top: Sequence[Blob]) -> None:
        """Copy each top's columns."""
        if len(top) == 1:
            return
        x = bottom[0].data.read(self.device).reshape(self.rows, -1)
        start = 0
        for blob, count in zip(top, self.columns, strict=True):
            y = blob.data.write(self.device).reshape(self.rows, -1)
            self.ops.copy_columns(x, start, y, 0, count)
            start += count

    def backward(
        self, top: Sequence[Blob], propagate_down: Sequence[bool], bottom: Sequence[Blob]
    ) -> None:
        """Copy each top's columns back."""
        if len(top) == 1 or not propagate_down[0]:
            return
        dx = bottom[0].diff.write(self.device).reshape(self.rows, -1)
        start = 0
        for blob, count in zip(top, self.columns, strict=True):
            dy = blob.diff.read(self.device).reshape(self.rows, -1)
            self.ops.copy_columns(dy, 0, dx, start, count)
            start += count
