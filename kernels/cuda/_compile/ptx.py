"""PTX of kernels, kept on disk: compiled once for each kernel, argument types and kind of GPU.

The text is the same wherever it is made: symbols have the kernel's name instead of Numba's, files
their path below the house. A file's name is a hash of all that it depends on (`kernels/_source.py`,
the files of this folder that know what words mean, versions, types, options), so nothing of CUDA is
imported where a kernel is found. Where there is no compiler the package's own folder `_ptx` has the
kernels of the product, for systems that NVIDIA makes none for.
"""

import hashlib
import importlib.util
import re
import sys
from collections.abc import Callable
from functools import cache
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from minicaffe.errors import MissingExtra
from minicaffe.machine.compiling import compiling

from ..._kept import base, read_own, safe, write
from ..._source import code_stamp, text_stamp

COMPILER = ("numba", "numba-cuda", "cuda-bindings")  # and one of these, which has NVVM:
NVVM = ("nvidia-cuda-nvcc-cu12", "nvidia-nvvm")
MEANINGS = ("arrays", "meanings", "numbers", "ranges", "target", "vectors")
SHIPPED = Path(__file__).resolve().parent.parent / "_ptx"
END = "\n\n// end\n"
Types = tuple[str, ...]


def ptx_of(body: Callable[..., Any], types: Types, cc: tuple[int, int], **options: Any) -> str:
    """The PTX of a kernel for arguments of some types (`signature.py`), for a kind of GPU."""
    name = _name_of(body)
    made_by = versions()
    if made_by is None:
        return _shipped(shipped_at(body, types, cc, **options), name)
    source = (code_stamp(body), types, cc, sorted(options.items()))
    folder = safe(base() / "ptx")
    place = folder and folder / f"{name}-{_hash(source, meanings(), made_by)}.ptx"
    kept = read_own(place).decode() if place else ""
    if kept.endswith(END):  # else: a disk that was full
        return kept
    text = compile_to_ptx(body, types, cc, **options)
    if place:
        write(place, text.encode())
    return text


def _name_of(body: Callable[..., Any]) -> str:
    name = f"{body.__module__.rpartition('.')[2]}.{body.__qualname__}"
    return re.sub(r"[^\w.]", "", name.replace("<locals>.", ""))


def shipped_at(body: Callable[..., Any], types: Types, cc: tuple[int, int], **options: Any) -> Path:
    """Where the package has a kernel's text, whatever the version of Python."""
    what = _hash(text_stamp(body), types, cc, sorted(options.items()))
    return SHIPPED / f"{_name_of(body)}-{what}.ptx"


def compile_to_ptx(
    body: Callable[..., Any], types: Types, cc: tuple[int, int], **options: Any
) -> str:
    """The same, compiled now."""
    from .signature import numba_types

    name = body.__qualname__
    compiling.begins(name)
    try:
        text = _compiled(body, numba_types(types), cc, options)
    finally:
        compiling.ends(name)
    return _plain(text, body.__name__)


def _compiled(
    body: Callable[..., Any], args: tuple[Any, ...], cc: tuple[int, int], options: dict[str, Any]
) -> str:
    """A text with the lines of Python; without them where NVVM cannot have both.

    NVVM 12.9 with lines loses a label of some unrolled loops, and refuses some shared arrays into
    which one number alone is written, under a name that it has made itself.
    """
    from cuda.bindings.nvvm import nvvmError

    from .target import compile_kernel

    try:
        text = compile_kernel(body, args, cc, lineinfo=True, **options)
    except nvvmError:
        text = ""
    if not text or _lacks_a_label(text):
        text = compile_kernel(body, args, cc, lineinfo=False, **options)
    return text


def _lacks_a_label(text: str) -> bool:
    """Whether a branch goes where no label is."""
    labels = set(re.findall(r"^(\$\w+):", text, re.MULTILINE))
    return not labels.issuperset(re.findall(r"\bbra(?:\.uni)?\s+(\$\w+)", text))


def _shipped(path: Path, name: str) -> str:
    """The text of the package. Raises MissingExtra where it has none: a new or changed kernel."""
    try:
        return path.read_text(encoding="utf-8")
    except OSError:
        raise MissingExtra("numba-cuda", "cuda-emu", f"compiling kernel {name}") from None


def _plain(text: str, name: str) -> str:
    """The text with names and paths that do not depend on this process."""
    lines = [line for line in text.splitlines() if not line.startswith((".common", "//"))]
    text = "\n".join(line for line in lines if "NumbaEnv" not in line)
    entry = re.search(r"\.entry (\w+)", text)
    assert entry
    text = text.replace(entry[1], name)
    for number, symbol in enumerate(dict.fromkeys(re.findall(r"\b_ZN\w+", text))):
        text = text.replace(symbol, f"inner_{number}")
    text = re.sub(
        r'(\.file\s+\d+ )"([^"]*)"', lambda found: f'{found[1]}"{_below(found[2])}"', text
    )
    return text.strip() + END


def _below(path: str) -> str:
    """A file of the house by its path in it: kernels/cuda/relu.py."""
    house = str(Path(__file__).resolve().parents[3])
    inside = path.removeprefix(house).lstrip("/")
    return inside if path.startswith(house) else path


def _hash(*depends_on: Any) -> str:
    return hashlib.sha256(repr(depends_on).encode()).hexdigest()[:20]


@cache
def meanings() -> str:
    """A hash of the files that say what the words of kernels mean."""
    stamp = hashlib.sha256()
    for name in MEANINGS:
        spec = importlib.util.find_spec(f"{__package__}.{name}")
        assert spec and spec.origin
        loader: Any = spec.loader
        stamp.update(loader.get_data(spec.origin))
    return stamp.hexdigest()


@cache
def versions() -> tuple[str, ...] | None:
    """The versions of the compiler's parts and of Python; None where one of them is missing."""
    parts = [_version(name) for name in COMPILER]
    nvvm = next((found for found in map(_version, NVVM) if found), None) or _of_the_machine()
    if None in parts or nvvm is None:
        return None
    python = f"{sys.version_info.major}.{sys.version_info.minor}"
    return (*filter(None, parts), nvvm, python)


def _version(package: str) -> str | None:
    try:
        return version(package)
    except PackageNotFoundError:
        return None


def _of_the_machine() -> str | None:
    """The NVVM of a CUDA toolkit that is installed on the machine, by its path."""
    import os

    homes = (os.environ.get("CUDA_HOME"), os.environ.get("CUDA_PATH"), "/usr/local/cuda")
    for home in filter(None, homes):
        for found in sorted(Path(home).glob("nvvm/lib64/libnvvm.so*")):
            return str(found.resolve())
    return None
