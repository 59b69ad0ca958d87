"""How many threads the kernels of this process run on: `set_num_threads(n)` and `num_threads()`.

There is one number for the whole process. A run gives the same bits on any number of threads.
"""

import os
import sys

from ..errors import DeviceError

VARIABLES = ("MINICAFFE_NUM_THREADS", "NUMBA_NUM_THREADS")
QUOTA = "/sys/fs/cgroup/cpu.max"  # "max 100000", or as many microseconds of CPU a period

_asked = 0  # 0: not asked for yet
_most = sys.maxsize
_why_no_more = ""


def num_threads() -> int:
    """The number of threads.

    It is what `set_num_threads` said, else MINICAFFE_NUM_THREADS, else NUMBA_NUM_THREADS, else the
    number of CPUs that this process may use, by its affinity and its container's quota. In a forked
    child whose parent has run kernels on several OpenMP threads it is 1, because OpenMP does not
    survive a fork.
    """
    if _asked == 0:
        set_num_threads(_default())
    return _asked if _asked < _most else _most  # min() takes three times as long


def set_num_threads(count: int) -> None:
    """Run kernels on so many threads from now on.

    Raises DeviceError for a number below 1, and for one that this process cannot have any more.
    """
    global _asked
    if count < 1:
        raise DeviceError(f"{count} threads asked for; a kernel needs one at least")
    if count > _most:
        raise DeviceError(f"{count} threads asked for, {_most} can be had: {_why_no_more}")
    _asked = count


def limit_threads(most: int, why: str) -> None:
    """For the kernels: no more than so many threads can be had from now on, for this reason."""
    global _most, _why_no_more
    _most, _why_no_more = most, why


def _default() -> int:
    for name in VARIABLES:
        if text := os.environ.get(name):
            if not text.isdecimal() or int(text) == 0:
                raise DeviceError(f"{name}={text}: the number of threads is a whole number > 0")
            return min(int(text), _most)
    return min(usable_cpus(), _most)


def usable_cpus() -> int:
    """How many CPUs this process may use, by its affinity and its container's quota."""
    if not hasattr(os, "sched_getaffinity"):
        return os.cpu_count() or 1
    allowed = len(os.sched_getaffinity(0))
    try:
        with open(QUOTA, encoding="ascii") as file:
            share, period = file.read().split()
    except (OSError, ValueError):
        return allowed
    return allowed if share == "max" else min(allowed, max(1, int(share) // int(period)))
