"""Scale and bias: y = scale x + bias, one pair a channel; arrays (outer, S, inner), pairs (S).

A thread writes an element; gradients of the pairs are the sums of `_sums.py`.
"""

from functools import cache

from ._array import DeviceArray
from ._compile.jit import Kernel, kernel
from ._compile.words import F32, grid
from ._sums import channel_sums, product, value


def forward(
    x: DeviceArray, scale: DeviceArray | None, bias: DeviceArray | None, y: DeviceArray
) -> None:
    """Write scale x + bias into y (y may be x); without scale it is 1, without bias 0."""
    _, channels, pixels = y.shape
    flat = y.reshape(-1)
    pair = flat if scale is None else scale, flat if bias is None else bias
    _forward(scale is not None, bias is not None).over(y.size)(
        x.reshape(-1), *pair, flat, channels, pixels
    )


def gradient(x: DeviceArray | None, dy: DeviceArray, total: DeviceArray, accumulate: bool) -> None:
    """Sum dy x (scale's gradient), or dy (bias's, without x), into total (S), or add it there."""
    add, args = (value, (dy,)) if x is None else (product, (dy, x))
    channel_sums(add, args, total, accumulate=accumulate)


@cache
def _forward(has_scale: bool, has_bias: bool) -> Kernel:
    @kernel
    def scale(x: F32, scale: F32, bias: F32, y: F32, channels: int, pixels: int) -> None:
        i = grid()
        if i < y.size:
            c = i // pixels % channels
            total = x[i]
            if has_scale:
                total *= scale[c]
            if has_bias:
                total += bias[c]
            y[i] = total

    return scale
