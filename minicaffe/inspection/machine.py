"""Which machine a page was made on."""

from __future__ import annotations

import importlib
import platform
import re
from pathlib import Path


def processor() -> str:
    """The processor's name, as the system tells it."""
    try:
        text = Path("/proc/cpuinfo").read_text(encoding="utf-8", errors="replace")
    except OSError:
        text = ""
    found = re.search(r"^model name\s*: (.*)$", text, re.MULTILINE)
    return found[1] if found else platform.processor() or platform.machine()


def vectors() -> str:
    """The vectors that kernels of the device cpu are compiled for: "8 floats a vector"."""
    lanes: int = importlib.import_module("minicaffe.kernels.cpu._compile.vectors").CHOSEN.lanes
    return f"{lanes} floats a vector"
