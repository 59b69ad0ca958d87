"""ContrastiveLoss of pairs (samples, channels); `similar` is not 0 for a similar pair.

Forward a warp takes a pair: its lanes read neighbouring channels, and the squared distance goes
from lane to lane. Backward a thread writes an element.
"""

from typing import Any

import numpy as np

from ._array import DeviceArray
from ._compile.jit import inner, kernel
from ._compile.words import F32, WARP, grid
from ._means import NONE, write_mean
from ._reduce import warp_sum

NEAR = np.float32(1e-4)  # added to a distance by which a gradient is divided


def forward(
    a: DeviceArray,
    b: DeviceArray,
    similar: DeviceArray,
    difference: DeviceArray,
    squared: DeviceArray,
    loss: DeviceArray,
    margin: float,
    legacy: bool,
) -> None:
    """Write a - b, the squared distances, and half the mean of the pairs' losses into loss (1)."""
    pairs = a.shape[0]
    args = (a, b, similar, difference, squared, float(margin), bool(legacy))
    write_mean(_pair, pairs * WARP, args, 2 * max(1, pairs), loss, None)


def backward(
    difference: DeviceArray,
    squared: DeviceArray,
    similar: DeviceArray,
    dx: DeviceArray,
    scale: float,
    margin: float,
    legacy: bool,
) -> None:
    """Write scale * difference into dx for similar pairs; for others push, inside the margin."""
    _backward.over(dx.size)(
        difference.reshape(-1), squared, similar, dx.reshape(-1), dx.shape[1],
        float(scale), float(margin), bool(legacy),
    )  # fmt: skip


@inner
def _is_similar(flag: Any) -> Any:
    return not abs(flag) < 1  # not 0 without its fraction; NaN too


@inner
def _pair(i: int, args: Any) -> Any:
    a, b, similar, difference, squared, margin, legacy = args
    n, lane = i // WARP, i % WARP
    total = 0.0
    for c in range(lane, a.shape[1], WARP):
        apart = a[n, c] - b[n, c]
        difference[n, c] = apart
        total += apart * apart
    total = warp_sum(total)
    if lane > 0:
        return 0.0, 0, NONE
    squared[n] = total
    gap = np.maximum(margin - (total if legacy else np.sqrt(total)), 0.0)
    if _is_similar(similar[n]):
        return total, 1, NONE
    return gap if legacy else gap * gap, 1, NONE


@kernel
def _backward(
    difference: F32, squared: F32, similar: F32, dx: F32, channels: int,
    scale: float, margin: float, legacy: bool,
) -> None:  # fmt: skip
    i = grid()
    if i < dx.size:
        n = i // channels
        distance = np.sqrt(squared[n])
        gap = margin - (squared[n] if legacy else distance)
        push = 0.0
        if gap > 0:
            push = -1.0 if legacy else -gap / (distance + NEAR)
        dx[i] = scale * (1.0 if _is_similar(similar[n]) else push) * difference[i]
