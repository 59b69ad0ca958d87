"""Caffe's random numbers, bit for bit: a Mersenne twister and the Boost distributions upon it.

Every filler, dropout mask, crop, mirror and shuffle of a run comes from such generators, so that a
seed gives the same run here and in BVLC Caffe. One draw is 32 bits. (Boost 1.56 or later; a Caffe
compiled with fused multiply-add.)
"""

import os
import struct
from collections.abc import MutableSequence
from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray

from ..errors import Error
from .ziggurat import fma, unit_normals

WORDS = 624  # of MT19937's state
STATE = struct.Struct(f"<8sH{WORDS}I")
MAGIC = b"MT19937\0"
CHUNK = 1 << 17  # samples of a distribution made at once
SMALL_CHUNK = 1 << 11  # truth values made at once, where an iteration of training makes them
T = TypeVar("T")


class Generator:
    """A stream of 32-bit draws (MT19937) and the distributions that Caffe takes from it.

    `seed` counts modulo 2^32; None takes one from the operating system, and `is_seeded` is false:
    then nobody can ask for the same numbers again, and a device may draw its own.
    """

    def __init__(self, seed: int | None = None) -> None:
        self.is_seeded = seed is not None
        self._bits = np.random.MT19937(0)
        self._set_key(*_seeded(int.from_bytes(os.urandom(4), "little") if seed is None else seed))

    def draw(self) -> int:
        """The next 32 bits."""
        return int(self._bits.random_raw())

    def draws(self, n: int) -> NDArray[np.uint32]:
        """The next n draws."""
        return np.asarray(self._bits.random_raw(n), np.uint64).astype(np.uint32)

    def uniform(self, n: int, a: float, b: float) -> NDArray[np.float32]:
        """n values in [a, b], one draw each (a draw that rounds beyond b is replaced).

        Raises Error unless a <= b and b - a is finite.
        """
        low, high = np.float32(a), np.nextafter(np.float32(b), np.float32(np.inf))
        with np.errstate(over="ignore", invalid="ignore"):
            width = high - low
        if not (a <= b and np.isfinite(width)):
            raise Error(f"uniform numbers need finite bounds min <= max, not {a:g} and {b:g}")
        values, at = np.empty(n, np.float32), 0
        while at < n:
            units = self.draws(min(n - at, CHUNK)).astype(np.float32) * np.float32(2.0**-32)
            made = fma(units, width, low)
            made = made[made < high]
            values[at : at + len(made)] = made
            at += len(made)
        return values

    def gaussian(self, n: int, mean: float = 0.0, std: float = 1.0) -> NDArray[np.float32]:
        """n normal values; about 1.01 draws each. Raises Error unless std > 0."""
        if not std > 0:
            raise Error(f"gaussian numbers need a standard deviation above 0, not {std:g}")
        values = np.empty(n, np.float32)
        for start in range(0, n, CHUNK):
            values[start : start + CHUNK] = self._unit_normals(min(CHUNK, n - start))
        return fma(values, np.float32(std), np.float32(mean))

    def bernoulli(self, n: int, p: float) -> NDArray[np.bool_]:
        """n truth values, true with probability p, compared in float64 (dropout masks).

        One draw each, none when p is 0.
        """
        if p == 0:
            return np.zeros(n, np.bool_)
        kept: NDArray[np.bool_] = self._bits.random_raw(n) <= np.uint64(p * 4294967295.0)
        return kept

    def fill_bernoulli(self, values: NDArray[np.float32], p: float) -> None:
        """Overwrite a flat array with 1 (with probability p) and 0, drawn like `bernoulli`."""
        for start in range(0, len(values), SMALL_CHUNK):
            part = values[start : start + SMALL_CHUNK]
            part[...] = self.bernoulli(len(part), p)

    def bernoulli_float32(self, n: int, p: float) -> NDArray[np.bool_]:
        """`bernoulli` compared in float32 (the mask of sparse gaussian fillers)."""
        if p == 0:
            return np.zeros(n, np.bool_)
        threshold = np.float32(p) * np.float32(4294967295.0)
        return self.draws(n).astype(np.float32) <= threshold

    def shuffle(self, items: MutableSequence[Any] | NDArray[Any]) -> None:
        """Permute a sequence (an array along its first axis) in place, as Caffe shuffles.

        Fisher-Yates from the end: item i changes places with one of 0 to i.
        """
        targets = self._swap_targets(len(items)).tolist()
        array = isinstance(items, np.ndarray) and items.ndim > 1
        for i, j in zip(range(len(items) - 1, 0, -1), targets, strict=True):
            if array:
                items[[i, j]] = items[[j, i]]  # type: ignore[call-overload]
            else:
                items[i], items[j] = items[j], items[i]

    def permutation(self, n: int) -> NDArray[np.int64]:
        """The order in which `shuffle` would leave 0 to n - 1."""
        order = list(range(n))
        self.shuffle(order)
        return np.array(order, np.int64)

    def get_state(self) -> bytes:
        """The exact position in the stream, in 2506 bytes."""
        state: Any = self._bits.state["state"]
        return STATE.pack(MAGIC, state["pos"], *state["key"].tolist())

    def set_state(self, state: bytes) -> None:
        """Go to a position that `get_state` gave. Raises Error for other bytes."""
        if len(state) != STATE.size or not state.startswith(MAGIC):
            raise Error(
                f"not the state of a random generator ({len(state)} bytes, "
                f"expected {STATE.size} beginning with {MAGIC!r})"
            )
        _, position, *key = STATE.unpack(state)
        if position > WORDS:
            raise Error(f"a random generator's position is at most {WORDS}, not {position}")
        self._set_key(np.array(key, np.uint32), position)

    def _set_key(self, key: NDArray[np.uint32], position: int) -> None:
        self._bits.state = {"bit_generator": "MT19937", "state": {"key": key, "pos": position}}

    def _unit_normals(self, n: int) -> NDArray[np.float32]:
        before = self._bits.state
        supply = n + n // 32 + 64
        while (found := unit_normals(self.draws(supply), n)) is None:
            self._bits.state = before
            supply *= 2
        self._bits.state = before
        values, used = found
        self._bits.random_raw(used, output=False)
        return values

    def _swap_targets(self, n: int) -> NDArray[np.int64]:
        """For i = n - 1 down to 1 a whole number in [0, i]."""
        limits = np.arange(n - 1, 0, -1, dtype=np.int64)
        buckets = _buckets(limits)
        draws = self.draws(len(limits)).astype(np.int64)
        targets = draws // buckets
        at = 0
        while len(beyond := np.flatnonzero(targets[at:] > limits[at:])):
            at += int(beyond[0])  # this draw is void: the later ones move up by one
            draws = np.append(np.delete(draws, at), self.draw())
            targets[at:] = draws[at:] // buckets[at:]
        return targets


def _seeded(seed: int) -> tuple[NDArray[np.uint32], int]:
    """MT19937's state for a seed: Knuth's multiplier, as in the reference implementation."""
    word = seed & 0xFFFFFFFF
    key = [word]
    for i in range(1, WORDS):
        word = (1812433253 * (word ^ (word >> 30)) + i) & 0xFFFFFFFF
        key.append(word)
    return np.array(key, np.uint32), WORDS


def _buckets(spans: NDArray[np.int64]) -> NDArray[np.int64]:
    """How many neighbouring draws give the same whole number in [0, span], for each span > 0."""
    most = 0xFFFFFFFF
    buckets: NDArray[np.int64] = most // (spans + 1) + (most % (spans + 1) == spans)
    return buckets
