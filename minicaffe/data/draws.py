"""Where the chance of transformations comes from: one stream, or a hash of each sample."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from ..random_stream.generator import Generator
from .source import Place

Draws = NDArray[np.uint32]  # (pictures, draws a picture)


class RandomDraws(Protocol):
    """Where the transformer's chance comes from."""

    seed: int

    def __init__(self, seed: int) -> None: ...

    def __call__(self, k: int, places: Sequence[Place], count: int) -> Draws:
        """`count` draws for each of the samples `places` of batch `k`."""


class StreamDraws:
    """One random stream for all pictures in turn: Caffe's, bit for bit."""

    def __init__(self, seed: int) -> None:
        self.seed = seed
        self._generator = Generator(seed)
        self._taken = 0

    def __call__(self, k: int, places: Sequence[Place], count: int) -> Draws:
        """The draws of batch `k`, when every batch before had as many pictures."""
        size = len(places) * count
        if self._taken > k * size:
            self._generator, self._taken = Generator(self.seed), 0
        while self._taken < k * size:
            step = min(k * size - self._taken, 1 << 20)
            self._generator.draws(step)
            self._taken += step
        self._taken += size
        return self._generator.draws(size).reshape(len(places), count)


class HashedDraws:
    """Draws that are a function of (seed, epoch, sample): the same on whatever rank it falls."""

    def __init__(self, seed: int) -> None:
        self.seed = seed

    def __call__(self, k: int, places: Sequence[Place], count: int) -> Draws:
        """The samples' draws, hashed by the finaliser of splitmix64 (Steele et al., 2014)."""
        epochs = np.array([place.epoch for place in places], np.uint64)
        indices = np.array([place.index for place in places], np.uint64)
        number = np.arange(count, dtype=np.uint64)
        word = np.full(len(places), self.seed & (2**64 - 1), np.uint64)
        word = _mix(_mix(_mix(word) + epochs) + indices)
        return (_mix(word[:, np.newaxis] + number) >> np.uint64(32)).astype(np.uint32)


def _mix(word: NDArray[np.uint64]) -> NDArray[np.uint64]:
    word = word + np.uint64(0x9E3779B97F4A7C15)
    word = (word ^ (word >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    word = (word ^ (word >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return word ^ (word >> np.uint64(31))
