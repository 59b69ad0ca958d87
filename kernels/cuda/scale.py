"""Scale and bias: y = scale x + bias, one pair a channel; arrays (outer, S, inner), pairs (S).

Forward is a formula of `_elements.py`, gradients of the pairs are the sums of `_sums.py`.
"""

from typing import Any

from ._array import DeviceArray
from ._compile.jit import inner
from ._elements import each
from ._sums import channel_sums, product, value


def forward(
    x: DeviceArray, scale: DeviceArray | None, bias: DeviceArray | None, y: DeviceArray
) -> None:
    """Write scale x + bias into y (y may be x); without scale it is 1, without bias 0."""
    if scale is not None and bias is not None:
        each(_affine, (scale, bias), y, x)
    elif scale is not None:
        each(_scaled, (scale,), y, x)
    else:
        each(_shifted, (bias,), y, x)


def gradient(x: DeviceArray | None, dy: DeviceArray, total: DeviceArray, accumulate: bool) -> None:
    """Sum dy x (scale's gradient), or dy (bias's, without x), into total (S), or add it there."""
    add, args = (value, (dy,)) if x is None else (product, (dy, x))
    channel_sums(add, args, total, accumulate=accumulate)


@inner
def _affine(x: float, none: float, c: int, args: Any) -> Any:
    return x * args[0][c] + args[1][c]


@inner
def _scaled(x: float, none: float, c: int, args: Any) -> Any:
    return x * args[0][c]


@inner
def _shifted(x: float, none: float, c: int, args: Any) -> Any:
    return x + args[0][c]
