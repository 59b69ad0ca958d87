"""DummyData: made-up values of given shapes."""

from collections.abc import Sequence

from minicaffe.blob import Blob, Shape
from minicaffe.filler import fill
from minicaffe.layer import Layer
from minicaffe.proto import minicaffe_pb2 as pb


class DummyDataLayer(Layer):
    """Tops filled by fillers: constants, or new random values at every forward.

    `dummy_data_param`: `shape`, once or once a top, or its old form `num`, `channels`, `height`
    and `width`, each once or once a top; `data_filler`, never (constant 0), once or once a top.
    No bottom, any number of tops.

        layer { type: "DummyData" name: "x" top: "x"
          dummy_data_param { shape { dim: 2 dim: 3 } data_filler { type: "uniform" min: -1 } } }
    """

    bottoms = (0, 0)
    tops = (1, None)
    needs_no_input = True
    moves = True

    def setup(self, bottom: Sequence[Blob], top: Sequence[Blob]) -> None:
        """Shape the tops; fill those that are constant."""
        param = self.param.dummy_data_param
        fillers = list(param.data_filler) or [pb.FillerParameter(type="constant")]
        self._check_number(len(fillers), len(top), "data_filler")
        self.fillers = fillers * len(top) if len(fillers) == 1 else fillers
        for blob, shape, filler in zip(top, self._shapes(len(top)), self.fillers, strict=True):
            blob.reshape(shape)
            if filler.type == "constant":
                fill(blob, filler)

    def _check_number(self, number: int, tops: int, what: str) -> None:
        if number not in (1, tops):
            raise self.error(f"{what} is given {number} times for {tops} tops: once or once a top")

    def _shapes(self, tops: int) -> list[Shape]:
        param = self.param.dummy_data_param
        old = {name: list(getattr(param, name)) for name in ("num", "channels", "height", "width")}
        if not any(old.values()):
            shapes = [tuple(shape.dim) for shape in param.shape]
            self._check_number(len(shapes), tops, "shape")
            return shapes * tops if len(shapes) == 1 else shapes
        if param.shape:
            raise self.error("give either shape or num, channels, height and width, not both")
        for name, dims in old.items():
            self._check_number(len(dims), tops, name)
        columns = [dims * tops if len(dims) == 1 else dims for dims in old.values()]
        return list(zip(*columns, strict=True))

    def reshape(self, bottom: Sequence[Blob], top: Sequence[Blob]) -> None:
        """The shapes were given at setup."""

    def forward(self, bottom: Sequence[Blob], top: Sequence[Blob]) -> None:
        """Fill again what is random."""
        for blob, filler in zip(top, self.fillers, strict=True):
            if filler.type != "constant":
                fill(blob, filler)
