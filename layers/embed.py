"""Embed: a table of vectors, looked up by index."""

from collections.abc import Sequence

from minicaffe.blob import Blob, SyncedArray
from minicaffe.filler import fill
from minicaffe.layer import Layer

from ._labels import check_labels


class EmbedLayer(Layer):
    """Vectors for indices (words, for example): InnerProduct of one-hot inputs, without them.

        y_n = W[x_n] + b        dW[x_n] += dy_n        db += Σ dy

    `embed_param`: `num_output`, the length of a vector; `input_dim`, the number of vectors;
    `bias_term` (true); `weight_filler`, `bias_filler` (constant 0).

    Bottom: indices 0 .. input_dim - 1, truncated to integers, any shape; -1 is no word, as it fills
    sentences up: its vector is b alone, and nothing of its gradient goes to W. Top: the bottom's
    shape and num_output. Parameters: W (input_dim, num_output), b (num_output). Indices have no
    gradient; another one outside the table raises LayerError.

        layer { type: "Input" name: "index" top: "index" input_param { shape { dim: 2 dim: 3 } } }
        layer { type: "Embed" name: "y" bottom: "index" top: "y"
          embed_param { num_output: 4 input_dim: 5 weight_filler { type: "xavier" } } }
    """

    kernels = ("embed",)
    checked_bottom = 0
    in_place = False
    moves = True
    repeats = True

    def setup(self, bottom: Sequence[Blob], top: Sequence[Blob]) -> None:
        """Read the parameters; create W and b."""
        param = self.param.embed_param
        self.num_output: int = param.num_output
        self.input_dim: int = param.input_dim
        self.bias_term: bool = param.bias_term
        if self.num_output == 0 or self.input_dim == 0:
            raise self.error("num_output and input_dim must be given and positive")
        if not self.blobs:
            weight = self.blobs.add_blob(self.input_dim, self.num_output)
            fill(weight, param.weight_filler)
            if self.bias_term:
                fill(self.blobs.add_blob(self.num_output), param.bias_filler)
        self.param_propagate_down = [True] * len(self.blobs)
        self.found = SyncedArray((1,), "int32")

    def reshape(self, bottom: Sequence[Blob], top: Sequence[Blob]) -> None:
        """A vector for each index."""
        self.view = (bottom[0].count(), self.num_output)
        top[0].reshape((*bottom[0].shape, self.num_output))

    def forward(self, bottom: Sequence[Blob], top: Sequence[Blob]) -> None:
        """Look the vectors up."""
        device = self.device
        self.ops.forward(
            bottom[0].data.read(device).reshape(-1),
            self.blobs[0].data.read(device),
            self.blobs[1].data.read(device) if self.bias_term else None,
            top[0].data.write(device).reshape(self.view),
            self.found.write(device),
        )

    def check(self, bottom: Sequence[Blob]) -> None:
        """Raise LayerError for indices outside the table."""
        check_labels(self, self.found, bottom[0], self.input_dim, what="index")

    def backward(
        self, top: Sequence[Blob], propagate_down: Sequence[bool], bottom: Sequence[Blob]
    ) -> None:
        """Add each gradient to the vector it came from."""
        if propagate_down[0]:
            raise self.error("indices have no gradient")
        device = self.device
        dy = top[0].diff.read(device).reshape(self.view)
        if self.param_propagate_down[0]:
            index = bottom[0].data.read(device).reshape(-1)
            self.ops.backward_weight(index, dy, self.blobs[0].diff.update(device))
        if self.bias_term and self.param_propagate_down[1]:
            self.ops.backward_bias(dy, self.blobs[1].diff.update(device))

    def allow_force_backward(self, index: int) -> bool:
        """Indices have no gradient."""
        return False

    def rows_named(self, index: int, bottom: Sequence[Blob]) -> int:
        """The vectors of the table."""
        return self.input_dim

    def values_read(self, bottom: Sequence[Blob], top: Sequence[Blob]) -> int:
        """The vectors that are looked up, of the table."""
        return top[0].count()
