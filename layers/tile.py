"""Tile: an axis repeated."""

from collections.abc import Sequence

from minicaffe.blob import Blob
from minicaffe.layer import Layer


class TileLayer(Layer):
    """Repeat a blob along an axis.

        y = [x, x, ...]        dx = the sum of dy over the copies

    `tile_param`: `axis` (1); `tiles`, how many copies (required). The top is `tiles` times as long
    along the axis.

        layer { type: "Input" name: "x" top: "x" input_param { shape { dim: 2 dim: 3 } } }
        layer { type: "Tile" name: "y" bottom: "x" top: "y" tile_param { tiles: 2 } }
    """

    kernels = ("tile",)
    in_place = False
    moves = True
    repeats = True

    def setup(self, bottom: Sequence[Blob], top: Sequence[Blob]) -> None:
        """Read the axis and the number of copies."""
        self.along: int = self.param.tile_param.axis
        self.tiles: int = self.param.tile_param.tiles
        if self.tiles <= 0:
            raise self.error("tiles must be given and positive")

    def reshape(self, bottom: Sequence[Blob], top: Sequence[Blob]) -> None:
        """The top's axis is `tiles` times the bottom's."""
        axis = self.axis(bottom[0], self.along)
        shape = list(bottom[0].shape)
        shape[axis] *= self.tiles
        top[0].reshape(shape)
        rows = bottom[0].count(0, axis)
        self.bottom_view = (rows, bottom[0].count(axis))
        self.top_view = (rows, self.tiles, bottom[0].count(axis))

    def forward(self, bottom: Sequence[Blob], top: Sequence[Blob]) -> None:
        """Copy."""
        self.ops.forward(
            bottom[0].data.read(self.device).reshape(self.bottom_view),
            top[0].data.write(self.device).reshape(self.top_view),
        )

    def backward(
        self, top: Sequence[Blob], propagate_down: Sequence[bool], bottom: Sequence[Blob]
    ) -> None:
        """Sum over the copies."""
        if propagate_down[0]:
            self.ops.backward(
                top[0].diff.read(self.device).reshape(self.top_view),
                bottom[0].diff.write(self.device).reshape(self.bottom_view),
            )
