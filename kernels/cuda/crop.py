"""Crop: the part of an array that begins at `offsets`, one an axis.

A thread for each element of the part. Axes that are kept whole are one with the axis before them,
so that a map that is cropped has three.
"""

from functools import cache

from ._array import DeviceArray
from ._compile.jit import Kernel, kernel
from ._compile.words import F32, grid

Extents = tuple[int, ...]


def forward(x: DeviceArray, y: DeviceArray, offsets: tuple[int, ...]) -> None:
    """Write the part of x that has the shape of y into y."""
    whole, part, starts = _joined(x.shape, y.shape, offsets)
    _crop(len(part), False).over(y.size)(y.reshape(-1), x.reshape(-1), part, whole, starts)


def backward(dy: DeviceArray, dx: DeviceArray, offsets: tuple[int, ...]) -> None:
    """Write dy into the part of dx where it came from; the rest of dx stays."""
    whole, part, starts = _joined(dx.shape, dy.shape, offsets)
    _crop(len(part), True).over(dy.size)(dy.reshape(-1), dx.reshape(-1), part, whole, starts)


def _joined(whole: Extents, part: Extents, offsets: Extents) -> tuple[Extents, Extents, Extents]:
    """The same with as few axes as say it."""
    axes: list[Extents] = [(1, 1, 0)]
    for extent, wanted, start in zip(whole, part, offsets, strict=True):
        if extent == wanted or axes[-1][0] == 1:
            before = axes.pop()
            axes.append((before[0] * extent, before[1] * wanted, before[2] * extent + start))
        else:
            axes.append((int(extent), int(wanted), int(start)))
    extents, sizes, starts = zip(*axes, strict=True)
    return extents, sizes, starts


@cache
def _crop(axes: int, back: bool) -> Kernel:
    @kernel
    def crop(small: F32, large: F32, part: Extents, whole: Extents, starts: Extents) -> None:
        i = grid()
        if i < small.size:
            rest, at, step = i, 0, 1
            for axis in range(axes - 1, -1, -1):
                at += step * (rest % part[axis] + starts[axis])
                rest = rest // part[axis]
                step *= whole[axis]
            if back:
                large[at] = small[i]
            else:
                small[i] = large[at]

    return crop
