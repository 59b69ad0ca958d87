"""What Convolution and Deconvolution have in common: parameters, shapes and checks."""

import math
from collections.abc import Sequence
from typing import Any, ClassVar

from minicaffe.blob import Blob, Shape
from minicaffe.filler import fill
from minicaffe.kept import Kept
from minicaffe.layer import Layer
from minicaffe.proto import minicaffe_pb2 as pb

from ._engine import check_engine
from ._geometry import check_extents, read_window


class BaseConvolutionLayer(Layer):
    """A bank of filters over images with any number of spatial axes, shared by all bottoms.

    The filters have the shape (planes of the convolution's output, planes of its input / group,
    *kernel). A convolution takes bottom to top; its transpose, the deconvolution, top to bottom.
    """

    kernels = ("convolution",)
    steady = True
    bottoms = (1, None)
    tops = (1, None)
    equal_bottom_top = True
    in_place = False
    transposed: ClassVar[bool]
    parameters = "convolution"
    multiplies = True

    def setup(self, bottom: Sequence[Blob], top: Sequence[Blob]) -> None:
        """Read the parameters; create the filters and the bias."""
        param = self.param.convolution_param
        check_engine(self, param)
        self.channel_axis = self.axis(bottom[0], param.axis)
        self.num_axes = bottom[0].num_axes
        self.window = read_window(self, self.num_axes - self.channel_axis - 1)
        self.num_output: int = param.num_output
        self.channels = bottom[0].shape[self.channel_axis]
        self.group: int = param.group
        self.bias_term: bool = param.bias_term
        self._check_channels()
        if not self.blobs:
            fill(self.blobs.add_blob(*self._weight_shape()), param.weight_filler)
            if self.bias_term:
                fill(self.blobs.add_blob(self.num_output), param.bias_filler)
        self.param_propagate_down = [True] * len(self.blobs)
        self.scratch = Blob()
        self.kept = Kept(self.phase)  # filters in the scratch
        self.bottom_shape: Shape | None = None

    def _check_channels(self) -> None:
        if self.num_output == 0:
            raise self.error("num_output must be given and positive")
        if self.group == 0 or self.channels % self.group or self.num_output % self.group:
            raise self.error(
                f"group {self.group} must divide the {self.channels} channels of the bottom and "
                f"num_output {self.num_output}"
            )

    def _weight_shape(self) -> Shape:
        if self.transposed:
            return (self.channels, self.num_output // self.group, *self.window.kernel)
        return (self.num_output, self.channels // self.group, *self.window.kernel)

    def reshape(self, bottom: Sequence[Blob], top: Sequence[Blob]) -> None:
        """All bottoms have one shape, of which only the channels are fixed."""
        shape = bottom[0].shape
        for index, blob in enumerate(bottom):
            if blob.shape != shape:
                raise self.error(
                    f"bottom {index} of shape {blob.shape} must have the shape of bottom 0, {shape}"
                )
        if shape != self.bottom_shape:
            self._reshape(shape)
        for blob in top:
            blob.reshape(self.top_shape)

    def _reshape(self, shape: Shape) -> None:
        axis = self.channel_axis
        if len(shape) != self.num_axes or shape[axis] != self.channels:
            raise self.error(
                f"bottom of shape {shape}: the filters are for {self.num_axes} axes and "
                f"{self.channels} channels along axis {axis}"
            )
        extents = shape[axis + 1 :]
        out = (
            self.window.deconvolved(extents) if self.transposed else self.window.convolved(extents)
        )
        check_extents(self, self.window, extents, out)
        batch = math.prod(shape[:axis])
        self.bottom_shape = shape
        self.top_shape = (*shape[:axis], self.num_output, *out)
        self.bottom_view = (batch, self.channels, *extents)
        self.top_view = (batch, self.num_output, *out)
        image, output = self.bottom_view, self.top_view
        if self.transposed:
            image, output = output, image
        window = self.window
        self.plan = self.ops.plan(
            image, output, window.kernel, window.stride, window.pad, window.dilation, self.group,
            self.phase == pb.TEST,
        )  # fmt: skip
        self.scratch.reshape(self.ops.scratch_size(self.plan, self.kept.wanted))
        self.kept.forget()

    def ways(self) -> tuple[str, ...]:
        """Which way the kernels go for the tops, the bottoms' gradients and the filters'."""
        forward, data, weight = self.ops.ways(self.plan)
        return (data, forward, weight) if self.transposed else (forward, data, weight)

    def reasons(self) -> tuple[str, ...]:
        """Why the kernels go these ways; nothing where a family of one's own does not say."""
        if not hasattr(self.ops, "reasons"):
            return ()
        forward, data, weight = self.ops.reasons(self.plan, self.kept.wanted)
        return (data, forward, weight) if self.transposed else (forward, data, weight)

    def workspace(self) -> Any:
        """The scratch array of the kernels."""
        return self.scratch.data.update(self.device)

    def bytes_kept(self) -> int:
        """What the scratch has more for filters that are kept in it."""
        size = self.ops.scratch_size
        more: int = size(self.plan, self.kept.wanted) - size(self.plan)
        return 4 * more
