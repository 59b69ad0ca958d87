"""InnerProduct: a fully connected layer, y = W x + b."""

from collections.abc import Sequence

from minicaffe.blob import Blob
from minicaffe.filler import fill
from minicaffe.layer import Layer


class InnerProductLayer(Layer):
    """Fully connected: every output is a weighted sum of all inputs of a sample.

        y = x Wᵀ + b        dx = dy W        dW += dyᵀ x        db += Σ dy

    `inner_product_param`: `num_output`; `bias_term` (true); `axis` (1): it and the axes after it
    are one vector of K inputs, the axes before it are M samples; `transpose` (false): W is kept
    as (K, num_output); `weight_filler`, `bias_filler` (constant 0).

    Bottom: M samples of K values. Top: the axes before `axis`, then num_output.
    Parameters: W (num_output, K), b (num_output).

        layer { type: "Input" name: "x" top: "x" input_param { shape { dim: 2 dim: 3 dim: 2 } } }
        layer { type: "InnerProduct" name: "y" bottom: "x" top: "y"
          inner_product_param { num_output: 4 weight_filler { type: "xavier" } } }
    """

    kernels = ("inner_product",)
    steady = True
    in_place = False
    multiplies = True

    def setup(self, bottom: Sequence[Blob], top: Sequence[Blob]) -> None:
        """Read the parameters; create W and b."""
        param = self.param.inner_product_param
        self.transpose: bool = param.transpose
        self.bias_term: bool = param.bias_term
        self.num_output: int = param.num_output
        if self.num_output == 0:
            raise self.error("num_output must be given and positive")
        self.first = self.axis(bottom[0], param.axis)
        self.inputs = bottom[0].count(self.first)  # K
        if not self.blobs:
            shape = (self.num_output, self.inputs)
            fill(self.blobs.add_blob(*(shape[::-1] if self.transpose else shape)),
                 param.weight_filler)  # fmt: skip
            if self.bias_term:
                fill(self.blobs.add_blob(self.num_output), param.bias_filler)
        self.param_propagate_down = [True] * len(self.blobs)

    def reshape(self, bottom: Sequence[Blob], top: Sequence[Blob]) -> None:
        """The vector of inputs must keep its length; the axes before it may change."""
        shape = bottom[0].shape
        inputs = bottom[0].count(self.first)
        if len(shape) <= self.first or inputs != self.inputs:
            raise self.error(
                f"bottom of shape {shape} has {inputs} values a sample, the weight is for "
                f"{self.inputs}"
            )
        self.samples = bottom[0].count(0, self.first)  # M
        top[0].reshape((*shape[: self.first], self.num_output))

    def forward(self, bottom: Sequence[Blob], top: Sequence[Blob]) -> None:
        """Multiply, and add the bias."""
        device = self.device
        self.ops.forward(
            bottom[0].data.read(device).reshape(self.samples, self.inputs),
            self.blobs[0].data.read(device),
            self.blobs[1].data.read(device) if self.bias_term else None,
            top[0].data.write(device).reshape(self.samples, self.num_output),
            self.transpose,
        )

    def backward(
        self, top: Sequence[Blob], propagate_down: Sequence[bool], bottom: Sequence[Blob]
    ) -> None:
        """Add to dW and db, overwrite dx."""
        device = self.device
        dy = top[0].diff.read(device).reshape(self.samples, self.num_output)
        if self.param_propagate_down[0]:
            x = bottom[0].data.read(device).reshape(self.samples, self.inputs)
            self.ops.backward_weight(x, dy, self.blobs[0].diff.update(device), self.transpose)
        if self.bias_term and self.param_propagate_down[1]:
            self.ops.backward_bias(dy, self.blobs[1].diff.update(device))
        if propagate_down[0]:
            dx = bottom[0].diff.write(device).reshape(self.samples, self.inputs)
            self.ops.backward_data(dy, self.blobs[0].data.read(device), dx, self.transpose)

    def flops(self, bottom: Sequence[Blob], top: Sequence[Blob]) -> int:
        """2 M K num_output."""
        return 2 * bottom[0].count() * self.num_output
