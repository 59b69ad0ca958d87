"""Depthwise convolution: every output sees one channel, which is no product of matrices.

A thread makes a number of y or of dx, neighbours neighbouring ones; filters come from the cache. A
block sums up what one weight gets, over all places. Kernels are compiled for a window, whose
extents are constants: loops over taps are unrolled, and divide by nothing.

M outputs a channel; planes are (image, channel) or (image, output).
"""

from functools import cache
from math import prod

from .._array import DeviceArray
from .._compile.jit import Kernel, kernel
from .._compile.words import F32, blockIdx, grid, local, threadIdx
from .._reduce import block_sum
from .plan import Extents, Plan, Window

THREADS = 256


def forward(
    plan: Plan, x: DeviceArray, weight: DeviceArray, bias: DeviceArray | None, y: DeviceArray
) -> None:
    """y = W * x + bias."""
    _forward(plan.window).over(y.size)(
        x.reshape(-1), weight.reshape(-1), bias, y.reshape(-1),
        plan.x_shape[2:], plan.y_shape[2:], plan.y_shape[1], plan.outputs,
    )  # fmt: skip


def backward_data(plan: Plan, dy: DeviceArray, weight: DeviceArray, dx: DeviceArray) -> None:
    """Overwrite dx with the gradient to the images."""
    _backward_data(plan.window).over(dx.size)(
        dy.reshape(-1), weight.reshape(-1), dx.reshape(-1),
        plan.x_shape[2:], plan.y_shape[2:], plan.x_shape[1], plan.outputs,
    )  # fmt: skip


def backward_weight(plan: Plan, x: DeviceArray, dy: DeviceArray, dweight: DeviceArray) -> None:
    """Add the gradient to the filters to dweight."""
    _backward_weight(plan.window)[dweight.size, THREADS](
        x.reshape(-1), dy.reshape(-1), dweight.reshape(-1),
        plan.x_shape[2:], plan.y_shape[2:], plan.images, plan.y_shape[1], plan.outputs,
    )  # fmt: skip


@cache
def _forward(window: Window) -> Kernel:
    kernel_, stride, pad, dilation = window
    axes, taps = len(kernel_), prod(kernel_)

    @kernel
    def depthwise(
        x: F32, weight: F32, bias: F32 | None, y: F32,
        spatial: Extents, out: Extents, outputs: int, each: int,
    ) -> None:  # fmt: skip
        i = grid()
        if i < y.size:
            begin = local(axes, int)
            plane, size = i, 1
            for axis in range(axes - 1, -1, -1):
                begin[axis] = stride[axis] * (plane % out[axis]) - pad[axis]
                plane = plane // out[axis]
                size *= spatial[axis]
            o = plane % outputs
            total = 0.0
            for tap in range(taps):
                rest, inside, at, step = tap, True, 0, 1
                for axis in range(axes - 1, -1, -1):
                    p = begin[axis] + dilation[axis] * (rest % kernel_[axis])
                    rest = rest // kernel_[axis]
                    inside = inside and 0 <= p < spatial[axis]
                    at += step * p
                    step *= spatial[axis]
                if inside:
                    total += weight[o * taps + tap] * x[plane // each * size + at]
            if bias is not None:
                total += bias[o]
            y[i] = total

    return depthwise


@cache
def _backward_data(window: Window) -> Kernel:
    kernel_, stride, pad, dilation = window
    axes, taps = len(kernel_), prod(kernel_)

    @kernel
    def depthwise_data(
        dy: F32, weight: F32, dx: F32, spatial: Extents, out: Extents, channels: int, each: int
    ) -> None:
        i = grid()
        if i < dx.size:
            place = local(axes, int)
            plane = i
            for axis in range(axes - 1, -1, -1):
                place[axis] = plane % spatial[axis] + pad[axis]
                plane = plane // spatial[axis]
            total = 0.0
            for m in range(each):
                o = plane % channels * each + m
                for tap in range(taps):
                    rest, inside, at, step = tap, True, 0, 1
                    for axis in range(axes - 1, -1, -1):
                        p = place[axis] - dilation[axis] * (rest % kernel_[axis])
                        rest = rest // kernel_[axis]
                        q = p // stride[axis]
                        inside = inside and q * stride[axis] == p and 0 <= q < out[axis]
                        at += step * q
                        step *= out[axis]
                    if inside:
                        total += weight[o * taps + tap] * dy[(plane * each + m) * step + at]
            dx[i] = total

    return depthwise_data


@cache
def _backward_weight(window: Window) -> Kernel:
    kernel_, stride, pad, dilation = window
    axes, taps = len(kernel_), prod(kernel_)

    @kernel
    def depthwise_weight(
        x: F32, dy: F32, dweight: F32,
        spatial: Extents, out: Extents, images: int, outputs: int, each: int,
    ) -> None:  # fmt: skip
        o, tap = blockIdx.x // taps, blockIdx.x % taps
        begin = local(axes, int)
        rest, places, size = tap, 1, 1
        for axis in range(axes - 1, -1, -1):
            begin[axis] = dilation[axis] * (rest % kernel_[axis]) - pad[axis]
            rest = rest // kernel_[axis]
            places *= out[axis]
            size *= spatial[axis]
        total = 0.0
        for i in range(threadIdx.x, images * places, THREADS):
            n, inside, at, step = i, True, 0, 1
            for axis in range(axes - 1, -1, -1):
                p = begin[axis] + stride[axis] * (n % out[axis])
                n = n // out[axis]
                inside = inside and 0 <= p < spatial[axis]
                at += step * p
                step *= spatial[axis]
            if inside:
                plane = n * outputs + o
                total += dy[plane * places + i % places] * x[plane // each * size + at]
        total = block_sum(total)
        if threadIdx.x == 0:
            dweight[blockIdx.x] += total

    return depthwise_weight
