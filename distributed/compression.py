"""float32 in 2 bytes for the wire: bfloat16 keeps float32's range, float16 three more digits.

             sign  exponent  fraction    relative error     largest      least     least with fewer
    float32   1       8         23          2^-24           3.4e38      1.2e-38       1.4e-45
    bf16      1       8          7          2^-8            3.4e38      1.2e-38       9.2e-41
    fp16      1       5         10          2^-11           65504       6.1e-5        6.0e-8

Rounding is to nearest, ties to even. What is beyond the largest becomes infinite, as IEEE 754 has
it: no silent clipping, and the solver stops at an infinite gradient. Not a number stays so.

Both are integer arithmetic on whole rows: NumPy's own float16 takes several times as long, and many
times that for numbers below 6.1e-5, which gradients often are.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from functools import cache

import numpy as np
from numpy.typing import NDArray

from minicaffe.errors import CommunicationError

Floats = NDArray[np.float32]
Halves = NDArray[np.uint16]
Words = NDArray[np.uint32]

COMPRESSIONS = ("none", "bf16", "fp16")


def check_compression(compress: str) -> None:
    """Raise CommunicationError for a way that there is none of."""
    if compress not in COMPRESSIONS:
        known = ", ".join(COMPRESSIONS)
        raise CommunicationError(f"compress={compress}: one of {known} is expected")


class Rounding(ABC):
    """A way to carry float32 in 2 bytes, and scratch memory for rows of at most `most` elements."""

    name: str

    def __init__(self, most: int) -> None:
        self._first = np.empty(most, np.uint32)
        self._second = np.empty(most, np.uint32)

    def encode(self, numbers: Floats, halves: Halves) -> None:
        """Round a row into `halves`."""
        bits = numbers.view(np.uint32)
        self._round(bits, halves, self._first[: bits.size])
        if numbers.size and np.isnan(np.max(numbers)):
            halves[np.isnan(numbers)] = self._nan

    @abstractmethod
    def decode(self, halves: Halves, numbers: Floats) -> None:
        """The exact values of a row of halves."""

    def add(self, halves: Halves, numbers: Floats) -> None:
        """Add the values of a row of halves to `numbers`, in float32."""
        values = self._second[: halves.size].view(np.float32)
        self.decode(halves, values)
        np.add(numbers, values, out=numbers)

    _nan: int

    @abstractmethod
    def _round(self, bits: Words, halves: Halves, words: Words) -> None:
        """Round finite and infinite numbers; `words` is scratch memory of their size."""


class Bf16(Rounding):
    """The upper half of float32."""

    name = "bf16"
    _nan = 0x7FC0

    def _round(self, bits: Words, halves: Halves, words: Words) -> None:
        np.right_shift(bits, 16, out=words)
        np.bitwise_and(words, 1, out=words)  # ties go to even: half a unit, less 1 where it is even
        np.add(words, 0x7FFF, out=words)
        np.add(words, bits, out=words)
        np.right_shift(words, 16, out=words)
        halves[...] = words

    def decode(self, halves: Halves, numbers: Floats) -> None:
        """Put zeros below."""
        bits = numbers.view(np.uint32)
        bits[...] = halves
        np.left_shift(bits, 16, out=bits)


class Fp16(Rounding):
    """IEEE 754's binary16.

    A number with exponent e, or -14 if that is more, is a whole number n of units 2^(e - 10), and
    its half is n + 1024 (e + 14). The processor itself rounds it to units where 2^(e + 13) is
    added: the last bit of such a sum is one unit.
    """

    name = "fp16"
    _nan = 0x7E00

    def _round(self, bits: Words, halves: Halves, words: Words) -> None:
        magic = self._second[: bits.size]
        np.bitwise_and(bits, 0x7FFFFFFF, out=words)
        np.minimum(words, (127 + 16) << 23, out=words)  # 65536, which is infinite
        np.bitwise_and(words, 0x7F800000, out=magic)
        np.maximum(magic, (127 - 14) << 23, out=magic)
        np.add(magic, 13 << 23, out=magic)
        total = words.view(np.float32)
        np.add(total, magic.view(np.float32), out=total)
        np.subtract(words, magic, out=words)  # n
        np.right_shift(magic, 13, out=magic)
        np.add(words, magic, out=words)
        np.subtract(words, (127 - 14 + 13) << 10, out=words)
        np.right_shift(bits, 16, out=magic)
        np.bitwise_and(magic, 0x8000, out=magic)  # the sign
        np.bitwise_or(words, magic, out=words)
        halves[...] = words

    def decode(self, halves: Halves, numbers: Floats) -> None:
        """Look them up."""
        np.take(_values_of_fp16(), halves, out=numbers, mode="clip")


@cache
def _values_of_fp16() -> Floats:
    """All 65536 of them, 256 KiB."""
    return np.arange(1 << 16, dtype=np.uint16).view(np.float16).astype(np.float32)


WAYS: dict[str, type[Rounding]] = {way.name: way for way in (Bf16, Fp16)}
