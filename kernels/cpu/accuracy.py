"""Accuracy of scores (outer, classes, inner) against labels (outer, inner)."""

import numpy as np
from numba import prange
from numpy.typing import NDArray

from .._means import write_mean
from ._compile.jit import kernel
from ._labels import class_of, ignored_label, tally

F32 = NDArray[np.float32]
I32 = NDArray[np.int32]


def forward(
    score: F32, label: F32, hits: F32, share: F32, found: I32, top_k: int, ignore: int | None
) -> None:
    """Write 1 into hits (outer, inner) where fewer than top_k others score as high, else 0.

    A score that is nan is never right, and as another's it counts as high.
    Writes into share (1) the share of those that are right among the labels that count, 0 if none
    does; into found (2) the flat index of the first bad label or -1, and how many count (at
    least 1).
    """
    skip = ignored_label(ignore)
    _forward(score, label, hits, top_k, skip)
    counted = tally(hits.reshape(-1), label.reshape(-1), score.shape[1], skip)
    write_mean(*counted, 0, share, found)


def per_class(hits: F32, label: F32, share: F32, ignore: int | None) -> None:
    """Write the share of hits among the labels of each class into share (classes); 0 for none."""
    _per_class(hits.reshape(-1), label.reshape(-1), share, ignored_label(ignore))


@kernel
def _forward(score: F32, label: F32, hits: F32, top_k: int, ignore: int) -> None:
    outer, classes, inner = score.shape
    for task in prange(outer * inner):
        n, i = task // inner, task % inner
        number = class_of(label[n, i], classes, ignore)
        hit = False
        if number >= 0:
            mine = score[n, number, i]
            others = -1  # the label's own score is among those counted
            for c in range(classes):
                others += not score[n, c, i] < mine
            hit = others < top_k and mine == mine
        hits[n, i] = np.float32(hit)


@kernel
def _per_class(hits: F32, label: F32, share: F32, ignore: int) -> None:
    for c in prange(share.size):
        samples = 0
        right = 0
        for i in range(label.size):
            if class_of(label[i], share.size, ignore) == c:
                samples += 1
                right += int(hits[i])
        share[c] = right / max(samples, 1)
