"""Input: tops that the user fills."""

from collections.abc import Sequence

from minicaffe.blob import Blob
from minicaffe.layer import Layer


class InputLayer(Layer):
    """Blobs of a given shape that a script fills before it calls forward; zero at first.

    `input_param`: `shape`, once for all tops or once a top; without it the tops are scalars. Tops
    may be reshaped between passes, the layers that read them follow.

        layer { type: "Input" name: "x" top: "x" input_param { shape { dim: 2 dim: 3 } } }
    """

    bottoms = (0, 0)
    tops = (1, None)
    needs_no_input = True
    shares = True
    steady = True

    def setup(self, bottom: Sequence[Blob], top: Sequence[Blob]) -> None:
        """Give the tops their first shapes."""
        shapes = [tuple(shape.dim) for shape in self.param.input_param.shape]
        if len(shapes) not in (0, 1, len(top)):
            raise self.error(
                f"shape is given {len(shapes)} times for {len(top)} tops (once, or once a top)"
            )
        if len(shapes) == 1:
            shapes *= len(top)
        for blob, shape in zip(top, shapes, strict=False):
            blob.reshape(shape)

    def reshape(self, bottom: Sequence[Blob], top: Sequence[Blob]) -> None:
        """The user decides the shapes."""

    def forward(self, bottom: Sequence[Blob], top: Sequence[Blob]) -> None:
        """The user decides the values."""

    def seek(self, batch: int) -> None:
        """Every batch is what the user fills in."""
