"""LSTMUnit: one step of an LSTM, without its matrix products."""

from collections.abc import Sequence

from minicaffe.blob import Blob
from minicaffe.layer import Layer


class LSTMUnitLayer(Layer):
    """The nonlinear part of one time step of an LSTM.

        c = cont σ(f) c_prev + σ(i) tanh(g)        h = σ(o) tanh(c)

    with the logistic function σ and gates = [i, f, o, g]. No parameters.

    N sequences, H units. Bottoms: c_prev (1, N, H), gates (1, N, 4 H), cont (1, N), 0 where a
    sequence begins. Tops: c and h (1, N, H). With a cont that is neither 0 nor 1, the derivative
    of the forget gate is taken from its scaled value, as in Caffe.

        layer { type: "Input" name: "c" top: "c" input_param { shape { dim: 1 dim: 2 dim: 3 } } }
        layer { type: "Input" name: "g" top: "g" input_param { shape { dim: 1 dim: 2 dim: 12 } } }
        layer { type: "Input" name: "cont" top: "cont" input_param { shape { dim: 1 dim: 2 } } }
        layer { type: "LSTMUnit" name: "unit" bottom: "c" bottom: "g" bottom: "cont"
          top: "c_next" top: "h" }
    """

    kernels = ("lstm",)
    needs_top = True
    bottoms = (3, 3)
    tops = (2, 2)
    in_place = False

    def setup(self, bottom: Sequence[Blob], top: Sequence[Blob]) -> None:
        """No parameters to read."""
        self.acts = Blob()

    def reshape(self, bottom: Sequence[Blob], top: Sequence[Blob]) -> None:
        """Check that the shapes fit together."""
        shapes = [blob.shape for blob in bottom]
        if len(shapes[0]) != 3 or shapes[0][0] != 1:
            raise self.error(f"c_prev must be (1, N, H), its shape is {shapes[0]}")
        _, count, size = shapes[0]
        if shapes[1:] != [(1, count, 4 * size), (1, count)]:
            raise self.error(
                f"with c_prev {shapes[0]}, gates must be {(1, count, 4 * size)} and cont "
                f"{(1, count)}, not {shapes[1]} and {shapes[2]}"
            )
        for blob in top:
            blob.reshape(shapes[0])
        self.acts.reshape(count, 4 * size)

    def forward(self, bottom: Sequence[Blob], top: Sequence[Blob]) -> None:
        """Step."""
        c_prev, gates, cont = (blob.data.read(self.device)[0] for blob in bottom)
        c, h = (blob.data.write(self.device)[0] for blob in top)
        self.ops.forward(c_prev, gates, cont, self.acts.data.write(self.device), c, h)

    def backward(
        self, top: Sequence[Blob], propagate_down: Sequence[bool], bottom: Sequence[Blob]
    ) -> None:
        """The gradients of the former cell and the gates, both if one is wanted."""
        if any(propagate_down[:2]):
            self.ops.backward(
                bottom[0].data.read(self.device)[0],
                self.acts.data.read(self.device),
                top[0].data.read(self.device)[0],
                *(blob.diff.read(self.device)[0] for blob in top),
                *(blob.diff.write(self.device)[0] for blob in bottom[:2]),
            )

    def allow_force_backward(self, index: int) -> bool:
        """The marks of where sequences begin have no gradient."""
        return index != 2
