"""How fast memory is: bytes read and written a second by copies, on one thread or several."""

from __future__ import annotations

import ctypes
import threading
import time
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

ATTEMPTS = 15


def bandwidth(size: int, threads: int, times: int = 1) -> float:
    """Bytes read and written a second, by copies of `size` bytes in each thread.

    `times`: how often each thread copies before the clock is read, for what takes microseconds.
    """
    copy = ctypes.memmove  # leaves the interpreter to the other threads
    pairs = [(np.ones(size, np.uint8), np.zeros(size, np.uint8)) for _ in range(threads)]

    def job(source: Any, target: Any) -> Callable[[], None]:
        def copy_all() -> None:
            for _ in range(times):
                copy(target.ctypes.data, source.ctypes.data, size)

        return copy_all

    return 2 * size * times * threads / fastest([job(*pair) for pair in pairs])


def fastest(jobs: Sequence[Callable[[], Any]]) -> float:
    """Seconds in which all jobs are done, each in its thread: the best attempt.

    By the processor time of a lone thread, by wall time of several.
    """
    best = float("inf")
    for _ in range(ATTEMPTS):
        if len(jobs) == 1:
            started = time.thread_time()
            jobs[0]()
            best = min(best, time.thread_time() - started)
            continue
        gate = threading.Barrier(len(jobs) + 1)

        def work(job: Callable[[], Any], gate: threading.Barrier = gate) -> None:
            gate.wait()
            job()

        workers = [threading.Thread(target=work, args=(job,)) for job in jobs]
        for worker in workers:
            worker.start()
        gate.wait()
        started = time.perf_counter()
        for worker in workers:
            worker.join()
        best = min(best, time.perf_counter() - started)
    return best
