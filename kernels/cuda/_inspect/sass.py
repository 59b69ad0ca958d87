"""SASS of a kernel, by NVIDIA's assembler and disassembler; kept beside its PTX."""

import hashlib
import subprocess
import tempfile
from functools import cache
from pathlib import Path

from minicaffe.inspection.facts import Form
from minicaffe.inspection.listing import sass
from minicaffe.ptx.profile.ptxas import find_nvdisasm, find_ptxas

from ..._kept import base, read_own, safe, write

END = b"\n// end\n"


@cache
def tools() -> tuple[str, str] | None:
    """Where ptxas and nvdisasm are; None unless both are there."""
    assembler, disassembler = find_ptxas(), find_nvdisasm()
    return (assembler, disassembler) if assembler and disassembler else None


def form(text: str, compute_capability: tuple[int, int]) -> Form:
    """The machine code of a text of PTX for a kind of GPU; `missing` has the tools' words."""
    arch = "sm_{}{}".format(*compute_capability)
    stamp = hashlib.sha256(repr((text, arch, _versions())).encode()).hexdigest()[:20]
    folder = safe(base() / "ptx")
    place = folder and folder / f"{stamp}.sass"
    kept = read_own(place) if place else b""
    if not kept.endswith(END):  # else: a disk that was full
        made, why = _disassembled(text, arch)
        if why:
            return Form(sass.TITLE, (), missing=why)
        kept = made.encode() + END
        if place:
            write(place, kept)
    return sass.form(kept.decode())


def _disassembled(text: str, arch: str) -> tuple[str, str]:
    """What the tools make of a text, and "", or the words of the one that could not."""
    found = tools()
    assert found
    assembler, disassembler = found
    with tempfile.TemporaryDirectory() as folder:
        source, code = Path(folder) / "kernel.ptx", Path(folder) / "kernel.cubin"
        source.write_text(text, encoding="utf-8")
        said = _run(assembler, f"-arch={arch}", "-lineinfo", "-o", str(code), str(source))
        if said.returncode == 0:
            said = _run(disassembler, "-c", "-g", str(code))
    if said.returncode == 0:
        return said.stdout, ""
    lines = (said.stderr or said.stdout).strip().splitlines() or ["without a word"]
    return "", f"{Path(said.args[0]).name} failed: {lines[0]}"


@cache
def _versions() -> tuple[str, ...]:
    return tuple(_run(tool, "--version").stdout for tool in tools() or ())


def _run(*words: str) -> "subprocess.CompletedProcess[str]":
    return subprocess.run(words, capture_output=True, text=True, check=False)
