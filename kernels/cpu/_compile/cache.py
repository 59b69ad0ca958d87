"""Compiled kernels on disk: one file for each function, argument types, processor and source.

Numba has a cache of its own, which does not serve here: it keeps an index beside the code, which
two processes that compile at once can leave pointing at each other's files; it does not notice a
change in a module that the function calls; it does not tell compiler options apart; and for code
inside a zip (what Spark ships to executors) its key is the path where the zip was unpacked, new
for every application. Here the name of a file is a hash of all that the machine code depends on,
so there is no index, and equal sources share their code wherever they lie.

The folder is $MINICAFFE_CACHE_DIR, else $XDG_CACHE_HOME/minicaffe, else ~/.cache/minicaffe; in it
`<version>/<processor>-numba<version>/`, with `-checked` after it for code that checks bounds. It
may be removed at any time. Where it cannot be written each process compiles for itself, and a
warning in the log says so once. What is read there runs as the user: so these folders must belong
to them (or to root), and nobody else may write there; they are made so.
"""

import hashlib
import logging
import os
import pickle
import stat
import sys
import tempfile
from collections.abc import Callable
from functools import cache
from pathlib import Path
from types import FunctionType, ModuleType
from typing import Any

import llvmlite.binding
import numba
import numpy as np
from numba.core.caching import _Cache
from numba.core.compiler import CompileResult
from numba.core.serialize import dumps

import minicaffe
from minicaffe.errors import DeviceError
from minicaffe.machine.compiling import compiling

from .vectors import CHOSEN

log = logging.getLogger("minicaffe")

PACKAGE = "minicaffe.kernels."
MACHINERY = {__name__, f"{__package__}.jit"}  # what these ask of the compiler is in the key itself
# Of Numba's settings those that change machine code; its processor is in the target's own tuple.
SETTINGS = (
    "BOUNDSCHECK", "DEBUGINFO_DEFAULT", "OPT", "LOOP_VECTORIZE", "SLP_VECTORIZE", "ENABLE_AVX",
    "DISABLE_INTEL_SVML", "EXTEND_VARIABLE_LIFETIMES", "LLVM_REFPRUNE_PASS", "LLVM_REFPRUNE_FLAGS",
    "DEBUG_ARRAY_OPT_RUNTIME", "FULL_TRACEBACKS", "NRT_STATS", "ENABLE_PROFILING", "JIT_COVERAGE",
)  # fmt: skip
DIGEST = hashlib.sha256().digest_size


@cache
def folder() -> Path:
    """Where compiled kernels are kept: see the head of this file."""
    base = os.environ.get("MINICAFFE_CACHE_DIR")
    if not base:
        base = os.environ.get("XDG_CACHE_HOME") or os.path.join(os.path.expanduser("~"), ".cache")
        base = os.path.join(base, "minicaffe")
    config: Any = numba.config
    processor = config.CPU_NAME or llvmlite.binding.get_host_cpu_name()
    checked = "-checked" if config.BOUNDSCHECK else ""
    return Path(base, minicaffe.__version__, f"{processor}-numba{numba.__version__}{checked}")


@cache
def safe_folder() -> Path | None:
    """The folder, made where it is missing; None, and a warning, where it may not be used."""
    path = folder()
    places = (path.parent.parent, path.parent, path)
    try:
        places[0].parent.mkdir(parents=True, exist_ok=True)
        for place in places:
            place.mkdir(mode=0o755, exist_ok=True)
        reasons = [_why_unsafe(place, place == path) for place in places]
    except OSError as error:
        _cannot_write(str(error))
        return None
    for reason in filter(None, reasons):
        _cannot_write(reason)
        return None
    return path


def _why_unsafe(place: Path, is_last: bool) -> str:
    """Why code from a folder might be somebody else's; "" if it cannot be.

    In a folder with the sticky bit, such as /tmp, others cannot put theirs in our folder's place.
    """
    found = place.stat()
    if found.st_uid not in (0, os.geteuid()):
        return f"{place} belongs to another user, whose code would run here"
    shared = found.st_mode & (stat.S_IWGRP | stat.S_IWOTH)
    if shared and (is_last or not found.st_mode & stat.S_ISVTX):
        return f"others may write to {place}, and their code would run here (chmod go-w {place})"
    return ""


def _read_own(path: Path) -> bytes:
    """The bytes of a file of this user or of root; none of others', or where there is none."""
    try:
        with open(path, "rb") as file:
            if os.fstat(file.fileno()).st_uid in (0, os.geteuid()):
                return file.read()
            log.warning("%s belongs to another user: its code is not run", path)
    except OSError:
        pass
    return b""


@cache
def source_stamp(module_name: str) -> str:
    """A hash of a module's source and of all modules of this package that it uses."""
    stamp = hashlib.sha256()
    for name in sorted(_used_modules(module_name)):
        stamp.update(_source(sys.modules[name]))
    return stamp.hexdigest()


def code_stamp(body: Callable[..., Any]) -> str:
    """A hash of all the source that a function's machine code depends on."""
    assert isinstance(body, FunctionType)
    cells = [cell.cell_contents for cell in body.__closure__ or ()]
    closed_over = [
        code_stamp(getattr(value, "py_func", value)) if callable(value) else repr(value)
        for value in cells
    ]
    code = body.__code__
    source = source_stamp(body.__module__) if _has_file(body.__module__) else ""
    if not body.__module__.startswith(PACKAGE):
        source += repr(_named_values(body))
    parts = (source, code.co_firstlineno, code.co_code, closed_over)
    return hashlib.sha256(repr(parts).encode()).hexdigest()


def _has_file(module_name: str) -> bool:
    """False for what was typed into an interpreter or a notebook."""
    return getattr(sys.modules.get(module_name), "__file__", None) is not None


def _named_values(body: FunctionType) -> list[Any]:
    """What code from elsewhere, such as a solver's rule, depends on besides its steps: constants,
    and the numbers and functions that it names."""
    code = body.__code__
    found: list[Any] = [code.co_consts, code.co_names]
    for name in code.co_names:
        value = body.__globals__.get(name)
        function = getattr(value, "py_func", value)
        if isinstance(function, FunctionType) and function.__code__ is not code:
            found.append(code_stamp(function))
        elif isinstance(value, int | float | np.generic):
            found.append(repr(value))
    return found


def _used_modules(module_name: str) -> set[str]:
    """The module and those of the kernels whose functions, or which itself, it has imported."""
    found: set[str] = set()
    waiting = [module_name]
    while waiting:
        name = waiting.pop()
        if name in found:
            continue
        found.add(name)
        for value in vars(sys.modules[name]).values():
            if isinstance(value, ModuleType):
                other = value.__name__
            else:
                other = getattr(value, "__module__", None) or ""
            if other.startswith(PACKAGE) and other in sys.modules.keys() - MACHINERY:
                waiting.append(other)
    return found


def _source(module: ModuleType) -> bytes:
    """The bytes of a module's file, also from within a zip."""
    loader: Any = module.__loader__
    return bytes(loader.get_data(module.__file__))


class KernelCache(_Cache):  # type: ignore[misc]
    """The cache of one function, in the form in which Numba's dispatchers ask for it."""

    def __init__(self, body: FunctionType, options: dict[str, Any]) -> None:
        self._body = body
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
        path = self._file(sig, target_context.codegen())
        kept = _read_own(path) if path else b""
        digest, data = kept[:DIGEST], kept[DIGEST:]
        if hashlib.sha256(data).digest() == digest:  # else: a disk that was full, a copy cut short
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
        path = self._file(sig, data.codegen)
        if path is None:
            return
        code: bytes = dumps(data._reduce())
        try:
            # Without a sync: what a crash leaves of a file does not fit its hash.
            handle, part = tempfile.mkstemp(dir=path.parent, suffix=".part")
            try:
                with os.fdopen(handle, "wb") as file:
                    file.write(hashlib.sha256(code).digest() + code)
                os.replace(part, path)
            except BaseException:
                os.unlink(part)
                raise
        except OSError as error:
            _cannot_write(str(error))

    def _file(self, sig: Any, codegen: Any) -> Path | None:
        place = safe_folder()
        if place is None:
            return None
        body = self._body
        depends_on = (
            code_stamp(body),
            sys.version_info[:2],
            codegen.magic_tuple(),
            CHOSEN,
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


@cache
def _cannot_write(why: str) -> None:
    log.warning("compiled kernels are not kept, every process compiles anew: %s", why)
