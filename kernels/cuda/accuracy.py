"""Accuracy of scores (outer, classes, inner) against labels (outer, inner).

With inner = 1 a warp takes a row of scores, else a thread a position, as in `softmax.py`; the share
is a mean of hits, as that of a loss. For the share of each class a block goes through all labels.
"""

from functools import cache
from typing import Any

import numpy as np

from ._array import DeviceArray
from ._compile.jit import Kernel, inner, kernel
from ._compile.words import F32, WARP, blockDim, blockIdx, grid, threadIdx
from ._labels import OUTSIDE, class_of, ignored_label
from ._means import NONE, write_mean
from ._reduce import block_sum, warp_sum

THREADS = 256


def forward(
    score: DeviceArray, label: DeviceArray, hits: DeviceArray, share: DeviceArray,
    found: DeviceArray, top_k: int, ignore: int | None,
) -> None:  # fmt: skip
    """Write 1 into hits (outer, inner) where fewer than top_k others score as high, else 0.

    A score that is nan is never right, and as another's it counts as high.
    Writes into share (1) the share of those that are right among the labels that count, 0 if none
    does; into found (2) the flat index of the first bad label or -1, and how many count (at
    least 1).
    """
    outer, classes, pixels = score.shape
    skip = ignored_label(ignore)
    lanes = WARP if pixels == 1 else 1
    _hits(lanes).over(outer * pixels * lanes)(score, label, hits, int(top_k), skip)
    flat = hits.reshape(-1), label.reshape(-1)
    write_mean(_hit, label.size, (*flat, classes, skip), 0, share, found)


def per_class(
    hits: DeviceArray, label: DeviceArray, share: DeviceArray, ignore: int | None
) -> None:
    """Write the share of hits among the labels of each class into share (classes); 0 for none."""
    flat = hits.reshape(-1), label.reshape(-1)
    _per_class[share.size, THREADS](*flat, share, ignored_label(ignore))


@cache
def _hits(lanes: int) -> Kernel:
    @kernel
    def accuracy(score: F32, label: F32, hits: F32, top_k: int, ignore: int) -> None:
        position, lane = grid() // lanes, threadIdx.x % lanes
        outer, classes, pixels = score.shape
        n, i = position // pixels, position % pixels
        if n < outer:
            number = class_of(label[n, i], classes, ignore)
            right = False
            if number >= 0:
                mine = score[n, number, i]
                as_high = 0  # its own among them, unless it is NaN
                for c in range(lane, classes, lanes):
                    as_high += not score[n, c, i] < mine
                if lanes > 1:
                    as_high = warp_sum(as_high)
                right = as_high <= top_k and mine == mine
            if lane == 0:
                hits[n, i] = 1.0 if right else 0.0

    return accuracy


@inner
def _hit(i: int, args: Any) -> Any:
    """What position i gives to the mean: its hit, whether it counts, and i if its label is bad."""
    hits, label, classes, ignore = args
    number = class_of(label[i], classes, ignore)
    return hits[i], 1 if number >= 0 else 0, i if number == OUTSIDE else NONE


@kernel
def _per_class(hits: F32, label: F32, share: F32, ignore: int) -> None:
    samples, right = np.float32(0), np.float32(0)
    for i in range(threadIdx.x, label.size, blockDim.x):
        if class_of(label[i], share.size, ignore) == blockIdx.x:
            samples += 1
            right += hits[i]
    samples, right = block_sum(samples), block_sum(right)
    if threadIdx.x == 0:
        share[blockIdx.x] = right / max(samples, 1.0)
