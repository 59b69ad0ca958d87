"""Compiled kernels on disk: one file for each function, argument types, processor and source.

Numba has a cache of its own, which does not serve here: it keeps an index beside the code, which
two processes that compile at once can leave pointing at each other's files; it does not notice a
change in a module that the function calls; it does not tell compiler options apart; and for code
inside a zip (what Spark ships to executors) its key is the path where the zip was unpacked, new
for every application. Here the name of a file is a hash of all that the machine code depends on,
so there is no index, and equal sources share their code wherever they lie.

They lie in the folder of `kernels/_kept.py`, below `<processor>-numba<version>/`, with `-checked`
after it for code that checks bounds. It may be removed at any time. Where it cannot be written each
process compiles for itself, and a warning in the log says so once.
"""

import hashlib
import pickle
import sys
from functools import cache
from pathlib import Path
from types import FunctionType
from typing import Any

import llvmlite.binding
import numba
from numba.core.caching import _Cache
from numba.core.compiler import CompileResult
from numba.core.serialize import dumps

from minicaffe.errors import DeviceError
from minicaffe.machine.compiling import compiling

from ..._kept import base, log, read_own, safe, write
from ..._source import _source, code_stamp
from .vectors import CHOSEN

COMPILER = (f"{__package__}.lowering", f"{__package__}.parts")  # what is in the code of all kernels
# Of Numba's settings those that change machine code; its processor is in the target's own tuple.
SETTINGS = (
    "BOUNDSCHECK", "DEBUGINFO_DEFAULT", "OPT", "LOOP_VECTORIZE", "SLP_VECTORIZE", "ENABLE_AVX",
    "DISABLE_INTEL_SVML", "EXTEND_VARIABLE_LIFETIMES", "LLVM_REFPRUNE_PASS", "LLVM_REFPRUNE_FLAGS",
    "DEBUG_ARRAY_OPT_RUNTIME", "FULL_TRACEBACKS", "NRT_STATS", "ENABLE_PROFILING", "JIT_COVERAGE",
)  # fmt: skip
DIGEST = hashlib.sha256().digest_size


variant = ""  # of the folder: the process that compiles with lines for the inspector has its own


@cache
def folder() -> Path:
    """Where compiled kernels are kept: see the head of this file."""
    config: Any = numba.config
    processor = config.CPU_NAME or llvmlite.binding.get_host_cpu_name()
    checked = "-checked" if config.BOUNDSCHECK else ""
    return base() / f"{processor}-numba{numba.__version__}{checked}{variant}"


def safe_folder() -> Path | None:
    """The folder, made where it is missing; None, and a warning, where it may not be used."""
    return safe(folder())


@cache
def _compiler_stamp() -> str:
    """A hash of what changes the machine code of all kernels alike."""
    return hashlib.sha256(b"".join(_source(sys.modules[name]) for name in COMPILER)).hexdigest()


def read_whole(path: Path | None) -> bytes:
    """What `write_whole` wrote; nothing if the disk was full then, or a copy was cut short."""
    kept = read_own(path) if path else b""
    digest, data = kept[:DIGEST], kept[DIGEST:]
    return data if hashlib.sha256(data).digest() == digest else b""


def write_whole(path: Path, data: bytes) -> None:
    """Keep bytes, after their hash."""
    write(path, hashlib.sha256(data).digest() + data)


class KernelCache(_Cache):  # type: ignore[misc]
    """The cache of one function, in the form in which Numba's dispatchers ask for it."""

    def __init__(self, body: FunctionType, options: dict[str, Any], compiler: str = "") -> None:
        self._body = body
        self._compiler = compiler
        self._name = f"{body.__module__.rpartition('.')[2]}.{body.__qualname__}"
        self._options = sorted(
            (name, str(sorted(value) if isinstance(value, set) else value))
            for name, value in options.items()
        )

    @property
    def cache_path(self) -> str:
        """The folder of the files."""
        return str(folder())

    def load_overload(self, sig: Any, target_context: Any) -> Any:
        """The compiled code for a signature, or None."""
        target_context.refresh()
        path = self.file(sig, target_context.codegen())
        data = read_whole(path)
        if data:
            try:
                return CompileResult._rebuild(target_context, *pickle.loads(data))
            except Exception as error:
                log.warning("%s holds no compiled kernel (%s): it is made anew", path, error)
        compiling.begins(self._name)
        return None

    def save_overload(self, sig: Any, data: Any) -> None:
        """Keep what was compiled for a signature."""
        compiling.ends(self._name)
        if data.library.has_dynamic_globals:
            raise DeviceError(
                f"kernel {self._body.__qualname__} holds an address of this process (a pointer or "
                "a large global array), and so cannot be kept for the next: pass it as an argument"
            )
        path = self.file(sig, data.codegen)
        if path is not None:
            write_whole(path, dumps(data._reduce()))

    def file(self, sig: Any, codegen: Any) -> Path | None:
        """Where the code for a signature is kept; None where nothing is."""
        place = safe_folder()
        if place is None:
            return None
        body = self._body
        depends_on = (
            code_stamp(body),
            sys.version_info[:2],
            codegen.magic_tuple(),
            CHOSEN,
            _compiler_stamp(),
            self._compiler,
            self._options,
            [str(getattr(numba.config, name, None)) for name in SETTINGS],
            str(sig),
        )
        key = hashlib.sha256(repr(depends_on).encode()).hexdigest()[:24]
        return place / f"{self._name}-{key}.code"

    def enable(self) -> None:
        """Always enabled."""

    def disable(self) -> None:
        """Always enabled."""

    def flush(self) -> None:
        """Nothing is kept in memory."""
