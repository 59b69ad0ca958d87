"""ArgMax: largest values along the middle axis of (outer, classes, inner), by k passes.

A pass finds the largest of what comes after those found before. With inner = 1 a warp takes a row,
else a thread takes a position, as in `softmax.py`.
"""

from functools import cache
from typing import Any

import numpy as np

from ._array import DeviceArray
from ._compile.jit import Kernel, inner, kernel
from ._compile.words import F32, WARP, grid, shuffle_xor, threadIdx

LEAST, MOST = np.float32(-np.inf), np.float32(np.inf)


def forward(x: DeviceArray, y: DeviceArray, only_values: bool) -> None:
    """Write the k largest into y (outer, planes, k, inner), of equals the larger index first.

    One plane: their indices, or their values with `only_values`. Two planes: indices, values.
    NaN counts as the least.
    """
    outer, _, pixels = x.shape
    lanes = WARP if pixels == 1 else 1
    values = bool(only_values) or y.shape[1] == 2
    _forward(lanes, not only_values, values).over(outer * pixels * lanes)(x, y)


@cache
def _forward(lanes: int, indices: bool, values: bool) -> Kernel:
    @kernel
    def argmax(x: F32, y: F32) -> None:
        position, lane = grid() // lanes, threadIdx.x % lanes
        outer, classes, pixels = x.shape
        n, i = position // pixels, position % pixels
        if n < outer:
            last, last_at = MOST, classes  # what was found before
            for k in range(y.shape[2]):
                best, best_at = LEAST, -1
                for c in range(lane, classes, lanes):
                    value = _ranked(x[n, c, i])
                    left = value < last or (value == last and c < last_at)
                    if left and value >= best:
                        best, best_at = value, c
                if lanes > 1:
                    best, best_at = _last_maximum(best, best_at)
                last, last_at = best, best_at
                if lane == 0:
                    if indices:
                        y[n, 0, k, i] = best_at
                    if values:
                        y[n, y.shape[1] - 1, k, i] = x[n, best_at, i]

    return argmax


@inner
def _ranked(x: float) -> Any:
    """The value by which x is compared."""
    return x if x == x else LEAST


@inner
def _last_maximum(best: float, at: int) -> Any:
    """The largest of a warp and its index, the last of equals; index -1 where a lane has none."""
    lane = WARP // 2
    while lane > 0:
        other, there = shuffle_xor(best, lane), shuffle_xor(at, lane)
        if other > best or (other == best and there > at):
            best, at = other, there
        lane //= 2
    return best, at
