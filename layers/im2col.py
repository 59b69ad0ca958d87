"""Im2col: the image patches under a sliding window, as columns."""

import math
from collections.abc import Sequence

from minicaffe.blob import Blob, Shape
from minicaffe.layer import Layer

from ._engine import check_engine
from ._geometry import check_extents, read_window


class Im2colLayer(Layer):
    """Lays out the patches that a convolution multiplies its filters with.

        y[n, (c, k), p] = x[n, c, stride p - pad + dilation k], 0 outside the image

    `convolution_param`: `kernel_size`, `stride` (1), `pad` (0), `dilation` (1), or `kernel_h` and
    so on; `axis` (1), that of the channels, after which the spatial axes are.

    Bottom: (N, C, H, W), with other numbers of spatial axes too. Top: (N, C kernel_h kernel_w,
    H', W'), with the extents of Convolution's top. The gradient sums what overlaps.

        layer { type: "Input" name: "x" top: "x"
          input_param { shape { dim: 2 dim: 2 dim: 5 dim: 4 } } }
        layer { type: "Im2col" name: "y" bottom: "x" top: "y"
          convolution_param { kernel_size: 3 stride: 2 pad: 1 } }
    """

    kernels = ("im2col",)
    in_place = False
    parameters = "convolution"
    positions = "windows"
    moves = True
    repeats = True

    def setup(self, bottom: Sequence[Blob], top: Sequence[Blob]) -> None:
        """Read the window."""
        param = self.param.convolution_param
        check_engine(self, param)
        self.channel_axis = self.axis(bottom[0], param.axis)
        self.window = read_window(self, bottom[0].num_axes - self.channel_axis - 1)
        window = self.window
        self.geometry = (window.kernel, window.stride, window.pad, window.dilation)

    def reshape(self, bottom: Sequence[Blob], top: Sequence[Blob]) -> None:
        """One column a position of the window."""
        shape, axis = bottom[0].shape, self.channel_axis
        extents = shape[axis + 1 :]
        if len(extents) != len(self.window.kernel):
            raise self.error(
                f"bottom of shape {shape}: the window is for {len(self.window.kernel)} spatial axes"
            )
        out = self.window.convolved(extents)
        check_extents(self, self.window, extents, out)
        rows = shape[axis] * math.prod(self.window.kernel)
        batch = math.prod(shape[:axis])
        self.bottom_view: Shape = (batch, *shape[axis:])
        self.top_view: Shape = (batch, rows, *out)
        top[0].reshape((*shape[:axis], rows, *out))

    def forward(self, bottom: Sequence[Blob], top: Sequence[Blob]) -> None:
        """Copy the patches out."""
        self.ops.im2col(
            bottom[0].data.read(self.device).reshape(self.bottom_view),
            top[0].data.write(self.device).reshape(self.top_view),
            *self.geometry,
        )

    def backward(
        self, top: Sequence[Blob], propagate_down: Sequence[bool], bottom: Sequence[Blob]
    ) -> None:
        """Sum the patches back into the image."""
        if propagate_down[0]:
            self.ops.col2im(
                top[0].diff.read(self.device).reshape(self.top_view),
                bottom[0].diff.write(self.device).reshape(self.bottom_view),
                *self.geometry,
            )
