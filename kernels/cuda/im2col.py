"""im2col and col2im, any number of axes: a thread for each number that is written.

col2im gathers: a thread adds up the taps that saw its value, in their order, so that no two threads
write the same place and the sum is the same in every run.
"""

from functools import cache
from math import prod

from ._array import DeviceArray
from ._compile.jit import Kernel, kernel
from ._compile.words import F32, grid, local
from .copy import copy

Extents = tuple[int, ...]


def im2col(
    x: DeviceArray,
    col: DeviceArray,
    kernel: Extents,
    stride: Extents,
    pad: Extents,
    dilation: Extents,
) -> None:
    """Write col (N, C * taps, *out) from the images x (N, C, *spatial)."""
    if not kernel:  # no axes: an image is one number a channel
        copy(x, col)
        return
    spatial, out = _natural(x.shape[2:]), _natural(col.shape[2:])
    how = map(_natural, (kernel, stride, pad, dilation))
    _im2col(len(kernel)).over(col.size)(x.reshape(-1), col.reshape(-1), spatial, out, *how)


def col2im(
    col: DeviceArray,
    dx: DeviceArray,
    kernel: Extents,
    stride: Extents,
    pad: Extents,
    dilation: Extents,
) -> None:
    """Overwrite the images dx (N, C, *spatial) with the sums of what col has for each value."""
    if not kernel:
        copy(col, dx)
        return
    spatial, out = _natural(dx.shape[2:]), _natural(col.shape[2:])
    how = map(_natural, (kernel, stride, pad, dilation))
    taps = prod(kernel)
    _col2im(len(kernel)).over(dx.size)(col.reshape(-1), dx.reshape(-1), spatial, out, *how, taps)


def _natural(extents: Extents) -> Extents:
    return tuple(map(int, extents))


@cache
def _im2col(axes: int) -> Kernel:
    @kernel
    def im2col(
        x: F32, col: F32, spatial: Extents, out: Extents,
        kernel: Extents, stride: Extents, pad: Extents, dilation: Extents,
    ) -> None:  # fmt: skip
        """Eight tuples of extents, one number an axis each, besides the arrays."""
        i = grid()
        if i < col.size:
            # i = ((n C + c) * taps + tap) * places + place
            place = local(axes, int)
            rest = i
            for axis in range(axes - 1, -1, -1):
                place[axis] = rest % out[axis]
                rest = rest // out[axis]
            inside = True
            at, step = 0, 1
            for axis in range(axes - 1, -1, -1):
                tap = rest % kernel[axis]
                rest = rest // kernel[axis]
                p = stride[axis] * place[axis] + dilation[axis] * tap - pad[axis]
                inside = inside and 0 <= p < spatial[axis]
                at += step * p
                step *= spatial[axis]
            col[i] = x[rest * step + at] if inside else 0.0

    return im2col


@cache
def _col2im(axes: int) -> Kernel:
    @kernel
    def col2im(
        col: F32, dx: F32, spatial: Extents, out: Extents,
        kernel: Extents, stride: Extents, pad: Extents, dilation: Extents, taps: int,
    ) -> None:  # fmt: skip
        """Eight tuples of extents, one number an axis each, besides the arrays."""
        i = grid()
        if i < dx.size:
            place = local(axes, int)
            channel = i
            for axis in range(axes - 1, -1, -1):
                place[axis] = channel % spatial[axis] + pad[axis]
                channel = channel // spatial[axis]
            total = 0.0
            for tap in range(taps):
                rest, seen = tap, True
                at, step = 0, 1
                for axis in range(axes - 1, -1, -1):
                    p = place[axis] - dilation[axis] * (rest % kernel[axis])
                    rest = rest // kernel[axis]
                    o = p // stride[axis]
                    seen = seen and o * stride[axis] == p and 0 <= o < out[axis]
                    at += step * o
                    step *= out[axis]
                if seen:
                    total += col[(channel * taps + tap) * step + at]
            dx[i] = total

    return col2im
