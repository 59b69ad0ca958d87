"""Deconvolution: the transpose of a convolution, which spreads values over a larger image."""

from collections.abc import Sequence

from minicaffe.blob import Blob

from ._convolution import BaseConvolutionLayer


class DeconvolutionLayer(BaseConvolutionLayer):
    """Puts a filter, times the pixel, at every position, and sums where they overlap: what the
    gradient of a convolution does, as a layer. For learned or bilinear up-sampling.

        y[n, o, stride p - pad + dilation k] = b[o] + Σ_c,k W[c, o, k] x[n, c, p]

    `convolution_param`: as for Convolution. Up-sampling by a factor f, without learning:
    kernel_size 2 f - f % 2, stride f, pad ceil((f - 1) / 2), group and num_output C,
    weight_filler "bilinear", no bias, lr_mult 0.

    Bottoms: any number of (N, C, H, W), with other numbers of spatial axes too, of one shape. Tops,
    as many: (N, num_output, H', W'), H' = stride (H - 1) + dilation (kernel - 1) + 1 - 2 pad.
    Parameters: W (C, num_output / group, *kernel), b (num_output).

        layer { type: "Input" name: "x" top: "x"
          input_param { shape { dim: 2 dim: 2 dim: 3 dim: 2 } } }
        layer { type: "Deconvolution" name: "y" bottom: "x" top: "y"
          convolution_param { num_output: 3 kernel_size: 3 stride: 2 pad: 1
            weight_filler { type: "xavier" } } }
    """

    transposed = True
    positions = "spread"

    def forward(self, bottom: Sequence[Blob], top: Sequence[Blob]) -> None:
        """Spread the values, and add the bias."""
        device = self.device
        weight = self.blobs[0].data.read(device)
        for values, image in zip(bottom, top, strict=True):
            y = image.data.write(device).reshape(self.top_view)
            x = values.data.read(device).reshape(self.bottom_view)
            with self.kept.for_call(self.blobs[:1]) as kept:
                self.ops.backward_data(self.plan, x, weight, y, self.workspace(), kept)
            if self.bias_term:
                self.ops.add_bias(self.blobs[1].data.read(device), y)

    def backward(
        self, top: Sequence[Blob], propagate_down: Sequence[bool], bottom: Sequence[Blob]
    ) -> None:
        """Add to dW and db, overwrite dx, which is a convolution of dy."""
        self.kept.forget()
        device = self.device
        weight = self.blobs[0].data.read(device)
        for index, image in enumerate(top):
            dy = image.diff.read(device).reshape(self.top_view)
            if self.bias_term and self.param_propagate_down[1]:
                self.ops.backward_bias(dy, self.blobs[1].diff.update(device))
            if self.param_propagate_down[0]:
                x = bottom[index].data.read(device).reshape(self.bottom_view)
                dweight = self.blobs[0].diff.update(device)
                self.ops.backward_weight(self.plan, dy, x, dweight, self.workspace())
            if propagate_down[index]:
                dx = bottom[index].diff.write(device).reshape(self.bottom_view)
                self.ops.forward(self.plan, dy, weight, None, dx, self.workspace())

    def flops(self, bottom: Sequence[Blob], top: Sequence[Blob]) -> int:
        """Each input is spread over the weights of its channel."""
        weights = self.blobs[0].count(1)
        return sum(2 * blob.count() * weights for blob in bottom)
