"""Kernels without the compiler: programs in a process of their own with NUMBA_DISABLE_JIT=1."""

import os
import subprocess
import sys

from tests.conftest import CHECKOUT


def printed_without_jit(program: str) -> str:
    """What a program prints, warnings being errors; its traceback if it ends by an exception."""
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", program],
        capture_output=True,
        text=True,
        timeout=100,
        env={**os.environ, "PYTHONPATH": str(CHECKOUT), "NUMBA_DISABLE_JIT": "1"},
    )
    return done.stdout.strip() or done.stderr
