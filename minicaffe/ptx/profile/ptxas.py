"""Registers and spills of a kernel, as NVIDIA's assembler reports them."""

import os
import re
import shutil
import subprocess
import tempfile
from dataclasses import dataclass
from functools import cache
from importlib.util import find_spec
from pathlib import Path

_PLACES = ("nvidia.cuda_nvcc", "nvidia.cu13")  # of the wheels that bring it


@dataclass(frozen=True)
class Assembled:
    """Of a thread: registers, bytes that did not find room in them; shared bytes of a block."""

    registers: int
    spilled: int
    shared: int


def find_ptxas() -> str | None:
    """The assembler: of a wheel, or on the path; None where there is none."""
    return _find("ptxas")


def find_nvdisasm() -> str | None:
    """The disassembler, found likewise."""
    return _find("nvdisasm")


@cache
def _find(program: str) -> str | None:
    for name in _PLACES:
        try:
            spec = find_spec(name)
        except ModuleNotFoundError:
            spec = None
        for folder in (spec.submodule_search_locations or ()) if spec else ():
            found = Path(folder) / "bin" / program
            if found.exists():
                return str(found)
    return shutil.which(program)


@cache
def assemble(text: str, arch: str) -> Assembled | None:
    """What the assembler makes of a text with one kernel; None without it, or if it refuses."""
    program = find_ptxas()
    if program is None:
        return None
    with tempfile.TemporaryDirectory() as folder:
        source = Path(folder) / "kernel.ptx"
        source.write_text(text, encoding="utf-8")
        words = [program, f"-arch={arch}", "-v", "-o", os.devnull, str(source)]
        done = subprocess.run(words, capture_output=True, text=True, check=False)
    if done.returncode:
        return None
    said = done.stdout + done.stderr

    def number(pattern: str) -> int:
        found = re.search(pattern, said)
        return int(found[1]) if found else 0

    spilled = number(r"(\d+) bytes spill stores") + number(r"(\d+) bytes spill loads")
    return Assembled(number(r"Used (\d+) registers"), spilled, number(r"(\d+) bytes smem"))
