"""The machine that the figures belong to, in words."""

from __future__ import annotations

import os
import platform
from datetime import date
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

LIBRARIES = ("numpy", "numba", "llvmlite", "torch", "onnxruntime")


def describe() -> dict[str, str]:
    """Date, processor, cores, caches, memory, system, versions."""
    return {
        "date": date.today().isoformat(),
        "processor": processor(),
        "cores": f"{cores()} (of {os.cpu_count()})",
        "vectors": vectors(),
        "caches": caches(),
        "memory": memory(),
        "system": f"{platform.system()} {platform.release()}, {' '.join(platform.libc_ver())}",
        "python": platform.python_version(),
        **{name: installed(name) for name in LIBRARIES},
    }


def cores() -> int:
    """The cores that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def load() -> str:
    """How many processes wanted to run, on average over 1, 5 and 15 minutes."""
    return " ".join(f"{average:.1f}" for average in os.getloadavg())


def processor() -> str:
    """The processor's name, where the system tells it."""
    return _of_cpuinfo("model name") or platform.processor() or platform.machine()


def vectors() -> str:
    """The widest vectors."""
    flags = set(_of_cpuinfo("flags").split())
    known = (("avx512f", "AVX-512"), ("avx2", "AVX2"), ("avx", "AVX"), ("asimd", "NEON"))
    return next((name for flag, name in known if flag in flags), platform.machine())


def caches() -> str:
    """Sizes of the caches of the first core."""
    found = []
    for folder in sorted(Path("/sys/devices/system/cpu/cpu0/cache").glob("index*")):
        parts = [(folder / part).read_text().strip() for part in ("level", "type", "size")]
        if parts[1] != "Instruction":
            found.append(f"L{parts[0]} {parts[2]}")
    return ", ".join(found) or "unknown"


def memory() -> str:
    """The main memory."""
    try:
        return f"{os.sysconf('SC_PAGE_SIZE') * os.sysconf('SC_PHYS_PAGES') / 2**30:.0f} GiB"
    except (ValueError, OSError):
        return "unknown"


def installed(library: str) -> str:
    """A library's version."""
    try:
        return version(library)
    except PackageNotFoundError:
        return "not installed"


def _of_cpuinfo(field: str) -> str:
    path = Path("/proc/cpuinfo")
    for line in path.read_text().splitlines() if path.is_file() else ():
        name, _, value = line.partition(":")
        if name.strip() == field:
            return value.strip()
    return ""
