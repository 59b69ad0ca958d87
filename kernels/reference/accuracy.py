"""Accuracy of scores (outer, classes, inner) against labels (outer, inner)."""

import numpy as np
from numpy.typing import NDArray

from .._means import write_mean
from ._labels import read_labels

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
    number, valid, bad = read_labels(label, score.shape[1], ignore)
    mine = np.take_along_axis(score, number[:, None, :], axis=1)
    others = (~(score < mine)).sum(axis=1) - 1
    hits[...] = valid & (others < top_k) & ~np.isnan(mine[:, 0])
    write_mean(int(hits.sum()), int(valid.sum()), bad, 0, share, found)


def per_class(hits: F32, label: F32, share: F32, ignore: int | None) -> None:
    """Write the share of hits among the labels of each class into share (classes); 0 for none."""
    number, valid, _ = read_labels(label, share.size, ignore)
    samples = np.bincount(number[valid], minlength=share.size)
    right = np.bincount(number[valid], weights=hits[valid], minlength=share.size)
    share[...] = right / np.maximum(samples, 1)
