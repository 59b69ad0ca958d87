"""Memory for large arrays: one that does not fit raises an error before it is allocated.

Linux hands out more memory than there is, and kills the process that then writes to it. So the size
of a large array is compared with the free memory first.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from ..errors import Error

LARGE = 256 << 20  # bytes; smaller arrays are allocated without asking

MEMORY = "/proc/meminfo"
GROUP_LIMIT = "/sys/fs/cgroup/memory.max"
GROUP_USE = "/sys/fs/cgroup/memory.current"


def zeros(count: int) -> NDArray[np.float32]:
    """A float32 array of `count` zeros. Raises Error if there is not enough memory for it."""
    wanted = 4 * count
    if wanted >= LARGE:
        free = free_bytes()
        if free is not None and wanted > free:
            raise Error(
                f"an array of {count} numbers takes {_gigabytes(wanted)}, {_gigabytes(free)} are"
                " free"
            )
    try:
        return np.zeros(count, np.float32)
    except MemoryError:
        raise Error(f"no memory for an array of {count} numbers, {_gigabytes(wanted)}") from None


def free_bytes() -> int | None:
    """How many bytes this process can still allocate, by the machine and by its control group.

    (A container is one.) None where the system does not tell.
    """
    limits = [_of_machine(), _of_group()]
    return min((limit for limit in limits if limit is not None), default=None)


def _of_machine() -> int | None:
    try:
        with open(MEMORY, encoding="ascii") as file:
            lines = dict(line.split(":", 1) for line in file if ":" in line)
        return sum(int(lines[name].split()[0]) << 10 for name in ("MemAvailable", "SwapFree"))
    except (OSError, KeyError, ValueError, IndexError):
        return None


def _of_group() -> int | None:
    try:
        with open(GROUP_LIMIT, encoding="ascii") as limit, open(GROUP_USE, encoding="ascii") as use:
            return max(int(limit.read()) - int(use.read()), 0)
    except (OSError, ValueError):  # no group, or no limit: "max"
        return None


def _gigabytes(count: int) -> str:
    return f"{count / 1e9:.1f} GB"
