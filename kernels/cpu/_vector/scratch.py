"""Scratch memory: a part that all threads share, and a part for each.

Parts begin at cache lines, so that no two threads write into the same one.
"""

import threading
from collections.abc import Iterable
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from minicaffe.machine.threads import num_threads

F32 = NDArray[np.float32]
Need = tuple[int, int]  # floats that all threads share, and floats for each

CACHE_LINE = 16  # floats


class Scratch(NamedTuple):
    """Scratch memory cut up; thread t has `each` floats from shared + t * each on."""

    floats: F32
    shared: int  # floats that all threads share, from 0 on
    each: int
    threads: int


def whole(count: int, step: int) -> int:
    """The next multiple of step."""
    return -(-count // step) * step


def room(needs: Iterable[Need]) -> int:
    """Floats that are enough for any of the needs, on the present number of threads."""
    return max(
        CACHE_LINE + whole(shared, CACHE_LINE) + num_threads() * whole(each, CACHE_LINE)
        for shared, each in needs
    )


def divide(scratch: F32, need: Need) -> Scratch:
    """The scratch from a cache line on, cut up for as many threads as it is enough for."""
    shared, each = whole(need[0], CACHE_LINE), whole(need[1], CACHE_LINE)
    start = -(scratch.ctypes.data // 4) % CACHE_LINE
    threads = min(num_threads(), (scratch.size - start - shared) // each)
    return Scratch(scratch[start:], shared, each, threads)


_kept = threading.local()


def workspace(size: int) -> F32:
    """A buffer of at least so many floats, at a cache line, which this thread uses again."""
    buffer: F32 | None = getattr(_kept, "buffer", None)
    if buffer is None or buffer.size < size:
        fresh = np.empty(size + CACHE_LINE, np.float32)
        start = -(fresh.ctypes.data // 4) % CACHE_LINE
        _kept.buffer = buffer = fresh[start : start + size]
    return buffer
