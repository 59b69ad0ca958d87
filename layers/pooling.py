"""Pooling: the maximum or the mean of each window."""

import math
from collections.abc import Sequence

from minicaffe.blob import Blob, Shape, SyncedArray
from minicaffe.layer import Layer
from minicaffe.proto import minicaffe_pb2 as pb

from ._engine import check_engine
from ._pooling import Pair, PoolingWindow

AXES = ("h", "w")


class PoolingLayer(Layer):
    """Takes one value from each window of a channel's plane.

        MAX: y = the largest x; its gradient goes to the first such x in the window
        AVE: y = Σ x / area, area being the part of the window inside the image and its padding

    `pooling_param`: `pool`, MAX or AVE (STOCHASTIC is refused, as by Caffe on a CPU);
    `kernel_size`, or `kernel_h` and `kernel_w`; `stride` (1) and `pad` (0), or with `_h` and `_w`;
    `global_pooling` (false): the window is the whole plane; `round_mode` (CEIL).

    Bottom: (N, C, H, W). Top: (N, C, rounded((H + 2 pad - kernel) / stride) + 1, ...); with
    padding, no window begins after the image. Second top of MAX: the position of each maximum,
    h W + w. Padding never wins a MAX. A window that lies wholly outside (stride > kernel, CEIL, no
    pad) gives -FLT_MAX and no gradient, or NaN for AVE.

        layer { type: "Input" name: "x" top: "x"
          input_param { shape { dim: 2 dim: 2 dim: 5 dim: 4 } } }
        layer { type: "Pooling" name: "y" bottom: "x" top: "y"
          pooling_param { kernel_size: 3 stride: 2 } }
    """

    kernels = ("pooling", "copy")
    steady = True
    tops = (1, 2)
    in_place = False
    positions = "windows"

    def setup(self, bottom: Sequence[Blob], top: Sequence[Blob]) -> None:
        """Read the parameters."""
        param = self.param.pooling_param
        check_engine(self, param)
        if param.pool == pb.PoolingParameter.STOCHASTIC:
            raise self.error("pool STOCHASTIC is not built in: take MAX or AVE")
        self.max = param.pool == pb.PoolingParameter.MAX
        if len(top) > 1 and not self.max:
            raise self.error("only MAX has a second top, the mask of its maxima")
        self.ceil = param.round_mode == pb.PoolingParameter.CEIL
        self.stride = self._pair("stride")
        self.pad = self._pair("pad")
        self.global_pooling: bool = param.global_pooling
        self.kernel_shape: Pair = (0, 0)
        if self.global_pooling:
            self._check_global()
        else:
            self.kernel_shape = self._kernel()
        self.mask = SyncedArray((), "int32")  # of MAX; its memory is made when it is first written
        self.bottom_shape: Shape | None = None

    def _pair(self, name: str) -> Pair:
        param = self.param.pooling_param
        given = [param.HasField(f"{name}_{axis}") for axis in AXES]
        if any(given) and (not all(given) or param.HasField(name)):
            raise self.error(f"give {name}, or both {name}_h and {name}_w")
        values: Pair = (getattr(param, f"{name}_h"), getattr(param, f"{name}_w"))
        if not any(given):
            values = (getattr(param, name),) * 2
        if name == "stride" and 0 in values:
            raise self.error(f"stride {values} must be positive")
        return values

    def _kernel(self) -> Pair:
        param = self.param.pooling_param
        given = [param.HasField(f"kernel_{axis}") for axis in AXES]
        if param.HasField("kernel_size") == any(given) or any(given) != all(given):
            raise self.error("give kernel_size, or both kernel_h and kernel_w")
        kernel: Pair = (param.kernel_h, param.kernel_w)
        if not any(given):
            kernel = (param.kernel_size,) * 2
        if 0 in kernel:
            raise self.error(f"kernel {kernel} must be positive")
        return kernel

    def _check_global(self) -> None:
        param = self.param.pooling_param
        if any(param.HasField(name) for name in ("kernel_size", "kernel_h", "kernel_w")):
            raise self.error("global_pooling takes the whole plane: give no kernel size")
        if self.pad != (0, 0) or self.stride != (1, 1):
            raise self.error("global_pooling needs pad 0 and stride 1")

    def reshape(self, bottom: Sequence[Blob], top: Sequence[Blob]) -> None:
        """One value a window."""
        shape = bottom[0].shape
        if shape != self.bottom_shape:
            self._reshape(shape)
        for blob in top:
            blob.reshape(self.mask.shape)

    def _reshape(self, shape: Shape) -> None:
        if len(shape) != 4:
            raise self.error(f"bottom of shape {shape} must have 4 axes (N, C, H, W)")
        extents = (shape[2], shape[3])
        kernel = extents if self.global_pooling else self.kernel_shape
        self.window = PoolingWindow(kernel, self.stride, self.pad, self.ceil)
        self.window.check(self, extents)
        self.mask.resize((*shape[:2], *self.window.pooled(extents)))
        self.bottom_shape = shape

    def forward(self, bottom: Sequence[Blob], top: Sequence[Blob]) -> None:
        """Pool; MAX keeps the positions of its maxima."""
        x = bottom[0].data.read(self.device)
        y = top[0].data.write(self.device)
        window = self.window
        if not self.max:
            self.ops.average_forward(x, y, window.kernel, window.stride, window.pad)
            return
        mask = self.mask.write(self.device)
        self.ops.max_forward(x, y, mask, window.kernel, window.stride, window.pad)
        if len(top) > 1:
            self.ops_of("copy").copy(mask, top[1].data.write(self.device))

    def backward(
        self, top: Sequence[Blob], propagate_down: Sequence[bool], bottom: Sequence[Blob]
    ) -> None:
        """Give each window's gradient to its maximum, or share it among its values."""
        if not propagate_down[0]:
            return
        dy = top[0].diff.read(self.device)
        dx = bottom[0].diff.write(self.device)
        window = self.window
        if self.max:
            mask = self.mask.read(self.device)
            self.ops.max_backward(dy, mask, dx, window.kernel, window.stride, window.pad)
        else:
            self.ops.average_backward(dy, dx, window.kernel, window.stride, window.pad)

    def flops(self, bottom: Sequence[Blob], top: Sequence[Blob]) -> int:
        """One for each value of each window."""
        return top[0].count() * math.prod(self.window.kernel)
