"""The order of an epoch: a permutation of all samples, or of groups and then within windows."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Sequence
from functools import lru_cache
from itertools import accumulate

import numpy as np
from numpy.typing import NDArray


@lru_cache(maxsize=8)
def permutation(size: int, *words: int) -> NDArray[np.intp]:
    """A permutation of 0 to size - 1: a pure function of the size and of whole numbers >= 0."""
    # RandomState is NumPy's frozen generator: its stream will not change with NumPy's version.
    return np.random.RandomState(words).permutation(size)


def epoch_words(seed: int, epoch: int) -> tuple[int, int, int]:
    """What an epoch's order is drawn from."""
    return seed & 0xFFFFFFFF, seed >> 32 & 0xFFFFFFFF, epoch


class Groups:
    """Samples that are read by groups, and how an epoch shuffles them in a bounded memory.

    `rows` has the number of samples of each group, `sizes` its bytes. The groups are shuffled;
    those that follow each other then make a window, as many as have `limit` bytes together, one at
    least; the samples of a window are shuffled. All of it is a function of (seed, epoch), so every
    rank knows it, and reads a window's groups once. Groups that fit into one window are shuffled as
    if there were none: like samples that can be read at random.
    """

    def __init__(self, rows: Sequence[int], sizes: Sequence[int], limit: int) -> None:
        self.rows = tuple(rows)
        self.sizes = tuple(sizes)
        self.limit = limit
        self.starts = [0, *accumulate(self.rows)]
        self.fit = sum(self.sizes) <= limit  # into one window
        self._epoch: tuple[tuple[int, int, int], list[Sequence[int]], list[int]] | None = None
        self._window: tuple[tuple[int, ...], NDArray[np.intp]] | None = None

    def find(self, index: int) -> tuple[int, int]:
        """The group of sample `index`, and its place in it."""
        group = bisect_right(self.starts, index) - 1
        return group, index - self.starts[group]

    def shuffled(self, position: int, seed: int, epoch: int) -> int:
        """Which sample comes at `position` of an epoch."""
        words = epoch_words(seed, epoch)
        if self.fit:
            return int(permutation(self.starts[-1], *words)[position])
        windows, starts = self._windows_of(words)
        number = bisect_right(starts, position) - 1
        return int(self._samples(words, number, windows[number])[position - starts[number]])

    def _windows_of(self, words: tuple[int, int, int]) -> tuple[list[Sequence[int]], list[int]]:
        """The windows of an epoch, each its groups, and the positions where they begin."""
        if self._epoch is None or self._epoch[0] != words:
            windows: list[list[int]] = []
            filled = self.limit
            for group in np.random.RandomState(words).permutation(len(self.rows)).tolist():
                if not windows or filled + self.sizes[group] > self.limit:
                    windows.append([])
                    filled = 0
                windows[-1].append(group)
                filled += self.sizes[group]
            lengths = [sum(self.rows[group] for group in window) for window in windows]
            self._epoch = (words, list(windows), [0, *accumulate(lengths)])
        return self._epoch[1:]

    def _samples(
        self, words: tuple[int, int, int], number: int, window: Sequence[int]
    ) -> NDArray[np.intp]:
        """The samples of a window, shuffled."""
        key = (*words, number + 1)
        if self._window is None or self._window[0] != key:
            parts = [np.arange(self.starts[group], self.starts[group + 1]) for group in window]
            samples = np.concatenate(parts)
            self._window = (key, samples[np.random.RandomState(key).permutation(len(samples))])
        return self._window[1]
