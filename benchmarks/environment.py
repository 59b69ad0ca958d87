"""The environment of a contender's process: threads, and for the tuned ones what makes them fast.

* Variables that choose OpenBLAS's kernels are taken away: on its own it finds the best ones.
* glibc gives large blocks back to the system at each free, and a library that allocates its
  outputs then pays for fresh pages at each call. The MALLOC_ settings make it keep them.
* MKL has its fastest kernels only where it finds an Intel processor. It asks a function of its own,
  which a small library, preloaded, answers with yes. It is compiled here; where there is no C
  compiler, MKL stays as it is and the table says so.
"""

from __future__ import annotations

import os
import shutil
import subprocess
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:  # NumPy reads these variables when it is imported: nothing here may do so
    from .peers import Peer

THREADS = (
    "MINICAFFE_NUM_THREADS", "NUMBA_NUM_THREADS", "OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS",
    "MKL_NUM_THREADS",
)  # fmt: skip
BLAS_CHOICES = ("OPENBLAS_CORETYPE", "OPENBLAS_L2_SIZE", "OPENBLAS_VERBOSE")
MALLOC = {
    "MALLOC_MMAP_THRESHOLD_": str(1 << 32),
    "MALLOC_TRIM_THRESHOLD_": str(1 << 36),
    "MALLOC_TOP_PAD_": str(1 << 28),
}
UNLOCK = "int mkl_serv_intel_cpu_true(void) { return 1; }\n"


def environment(peer: Peer, threads: int, folder: Path) -> dict[str, str]:
    """The variables of a contender's process; `folder` is for files that it needs."""
    variables = {name: value for name, value in os.environ.items() if name not in BLAS_CHOICES}
    variables |= dict.fromkeys(THREADS, str(threads))
    root = str(Path(__file__).resolve().parents[1])
    variables["PYTHONPATH"] = os.pathsep.join(filter(None, [root, os.environ.get("PYTHONPATH")]))
    if peer.tuned:
        variables |= MALLOC
        library, _ = unlocked(folder)
        if library:
            variables["LD_PRELOAD"] = " ".join(
                filter(None, [library, os.environ.get("LD_PRELOAD")])
            )
    return variables


def tuning(folder: Path) -> str:
    """What the tuned contenders get, in words."""
    return f"malloc keeps its memory; {unlocked(folder)[1]}"


@cache
def unlocked(folder: Path) -> tuple[str, str]:
    """The library that answers MKL (empty if there is none to be had), and words about it."""
    if "GenuineIntel" in _processor():
        return "", "MKL needs no unlocking on this processor"
    compiler = next(filter(None, map(shutil.which, ("cc", "gcc", "clang"))), None)
    if compiler is None:
        return "", "MKL not unlocked: there is no C compiler"
    source, library = folder / "unlock.c", folder / "unlock.so"
    source.write_text(UNLOCK, encoding="utf-8")
    command = [compiler, "-shared", "-fPIC", "-o", str(library), str(source)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        return "", "MKL not unlocked: its library does not compile"
    return str(library), "MKL unlocked"


def _processor() -> str:
    path = Path("/proc/cpuinfo")
    return path.read_text(encoding="utf-8") if path.is_file() else ""
