"""Convolution: filters that slide over images."""

from collections.abc import Sequence

from minicaffe.blob import Blob

from ._convolution import BaseConvolutionLayer


class ConvolutionLayer(BaseConvolutionLayer):
    """Every filter, at every position: the sum of its weights times the pixels under them.

        y[n, o, p] = b[o] + Σ_c,k W[o, c, k] x[n, c, stride p - pad + dilation k]

    (correlation: the filters are not mirrored; outside the image x is 0).

    `convolution_param`: `num_output`, the number of filters; `kernel_size`, `stride` (1), `pad`
    (0), `dilation` (1), once or once a spatial axis, or for 2 axes `kernel_h`, `kernel_w`,
    `stride_h` and so on; `group` (1): the channels are cut into so many groups, each with its own
    filters; `bias_term` (true); `axis` (1), that of the channels, after which the spatial axes
    are; `weight_filler`, `bias_filler` (constant 0).

    Bottoms: any number of (N, C, H, W), with other numbers of spatial axes too, of one shape. Tops,
    as many: (N, num_output, H', W'), where
    H' = floor((H + 2 pad - dilation (kernel - 1) - 1) / stride) + 1.
    Parameters: W (num_output, C / group, *kernel), b (num_output).

        layer { type: "Input" name: "x" top: "x"
          input_param { shape { dim: 2 dim: 2 dim: 5 dim: 4 } } }
        layer { type: "Convolution" name: "y" bottom: "x" top: "y"
          convolution_param { num_output: 3 kernel_size: 3 pad: 1
            weight_filler { type: "xavier" } } }
    """

    transposed = False
    positions = "windows"

    def forward(self, bottom: Sequence[Blob], top: Sequence[Blob]) -> None:
        """Convolve, and add the bias."""
        device = self.device
        weight = self.blobs[0].data.read(device)
        bias = self.blobs[1].data.read(device) if self.bias_term else None
        for image, output in zip(bottom, top, strict=True):
            x = image.data.read(device).reshape(self.bottom_view)
            y = output.data.write(device).reshape(self.top_view)
            with self.kept.for_call(self.blobs) as kept:
                self.ops.forward(self.plan, x, weight, bias, y, self.workspace(), kept)

    def backward(
        self, top: Sequence[Blob], propagate_down: Sequence[bool], bottom: Sequence[Blob]
    ) -> None:
        """Add to dW and db, overwrite dx."""
        self.kept.forget()
        device = self.device
        weight = self.blobs[0].data.read(device)
        for index, output in enumerate(top):
            dy = output.diff.read(device).reshape(self.top_view)
            if self.bias_term and self.param_propagate_down[1]:
                self.ops.backward_bias(dy, self.blobs[1].diff.update(device))
            if self.param_propagate_down[0]:
                x = bottom[index].data.read(device).reshape(self.bottom_view)
                dweight = self.blobs[0].diff.update(device)
                self.ops.backward_weight(self.plan, x, dy, dweight, self.workspace())
            if propagate_down[index]:
                dx = bottom[index].diff.write(device).reshape(self.bottom_view)
                self.ops.backward_data(self.plan, dy, weight, dx, self.workspace())

    def flops(self, bottom: Sequence[Blob], top: Sequence[Blob]) -> int:
        """Each output is a sum over the weights of one filter."""
        weights = self.blobs[0].count(1)
        return sum(2 * blob.count() * weights for blob in top)
