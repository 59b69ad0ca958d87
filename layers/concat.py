"""Concat: several blobs joined into one, along an axis."""

from collections.abc import Sequence

from minicaffe.blob import Blob
from minicaffe.layer import Layer

from ._joined_axis import joined_axis


class ConcatLayer(Layer):
    """Join blobs along an axis; their other axes are equal.

        y = [x_0, x_1, ...]        dx_i = the part of dy that came from x_i

    `concat_param`: `axis` (1), or its old form `concat_dim`. The top is as long along it as all
    bottoms together. A single bottom is not copied: the top shares its memory.

        layer { type: "Input" name: "a" top: "a" input_param { shape { dim: 2 dim: 1 dim: 2 } } }
        layer { type: "Input" name: "b" top: "b" input_param { shape { dim: 2 dim: 3 dim: 2 } } }
        layer { type: "Concat" name: "y" bottom: "a" bottom: "b" top: "y" }
    """

    kernels = ("copy",)
    steady = True
    bottoms = (1, None)
    in_place = False
    moves = True

    def setup(self, bottom: Sequence[Blob], top: Sequence[Blob]) -> None:
        """Read the axis."""
        self.along = joined_axis(self, self.param.concat_param, "concat_dim")

    def reshape(self, bottom: Sequence[Blob], top: Sequence[Blob]) -> None:
        """The top's axis is the sum of the bottoms'."""
        axis = self.axis(bottom[0], self.along)
        shape = list(bottom[0].shape)
        for blob in bottom[1:]:
            others = [*blob.shape[:axis], *blob.shape[axis + 1 :]]
            if others != [*shape[:axis], *shape[axis + 1 :]] or blob.num_axes != len(shape):
                raise self.error(
                    f"bottoms {bottom[0].shape} and {blob.shape} differ outside axis {axis}"
                )
        shape[axis] = sum(blob.shape[axis] for blob in bottom)
        top[0].reshape(shape)
        if len(bottom) == 1:
            top[0].share_data(bottom[0])
            top[0].share_diff(bottom[0])
        self.rows = top[0].count(0, axis)
        self.columns = [blob.count(axis) for blob in bottom]  # that each bottom gives a row

    def forward(self, bottom: Sequence[Blob], top: Sequence[Blob]) -> None:
        """Copy every bottom into its columns."""
        if len(bottom) == 1:
            return
        y = top[0].data.write(self.device).reshape(self.rows, -1)
        start = 0
        for blob, count in zip(bottom, self.columns, strict=True):
            x = blob.data.read(self.device).reshape(self.rows, -1)
            self.ops.copy_columns(x, 0, y, start, count)
            start += count

    def backward(
        self, top: Sequence[Blob], propagate_down: Sequence[bool], bottom: Sequence[Blob]
    ) -> None:
        """Copy every bottom's columns back."""
        if len(bottom) == 1:
            return
        dy = top[0].diff.read(self.device).reshape(self.rows, -1)
        start = 0
        for blob, count, wanted in zip(bottom, self.columns, propagate_down, strict=True):
            if wanted:
                dx = blob.diff.write(self.device).reshape(self.rows, -1)
                self.ops.copy_columns(dy, start, dx, 0, count)
            start += count
