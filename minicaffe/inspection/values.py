"""What is in an array, in a few numbers; and seeded values for inputs that nobody fills."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..blob import SyncedArray
from .facts import Histogram, Stats

BINS = 40
SAMPLED = 1 << 21  # values: the histogram of more is that of so many, taken evenly
BLOCK = 1 << 20  # values that are looked at at a time


def stats(array: SyncedArray) -> Stats:
    """The numbers of an array's values; all 0 for one that is empty or holds no finite number."""
    values = np.asarray(array.read("cpu")).reshape(-1)
    blocks = [values[at : at + BLOCK] for at in range(0, values.size, BLOCK)]
    finite = [np.isfinite(block) for block in blocks]
    kept = [
        block if mask.all() else block[mask] for block, mask in zip(blocks, finite, strict=True)
    ]
    count, total = sum(block.size for block in kept), max(values.size, 1)
    if not count:
        share = float(values.size > 0)
        return Stats(0.0, 0.0, 0.0, share, Histogram(0.0, 0.0, ()))
    mean = sum(float(block.sum(dtype=np.float64)) for block in kept) / count
    square = sum(float(np.square(block - mean, dtype=np.float64).sum()) for block in kept)
    zeros = sum(block.size - int(np.count_nonzero(block)) for block in kept)
    histogram = _histogram(kept, count)
    return Stats(mean, (square / count) ** 0.5, zeros / total, 1 - count / total, histogram)


def _histogram(blocks: list[NDArray[Any]], count: int) -> Histogram:
    low = min(float(block.min()) for block in blocks if block.size)
    high = max(float(block.max()) for block in blocks if block.size)
    step = -(-count // SAMPLED)
    taken = np.concatenate([block[::step] for block in blocks]).astype(np.float64)
    if low == high:
        return Histogram(low, high, (taken.size,))
    counts, _ = np.histogram(taken, BINS, (low, high))
    return Histogram(low, high, tuple(int(each) for each in counts))
