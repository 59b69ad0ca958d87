"""The texts of a kernel's machine code: made in a child of this process, and kept.

Numba's own text of a kernel (`inspect_asm`) is not what runs: LLVM changes a module while it makes
code of it, and Numba asks for the text afterwards, which gives other instructions. So the text is
made here before that. Whether the machine code with lines is that without, which runs, is
seen by its bytes; where it is not, or LLVM gives up on the lines, the kernel is shown without them.

Texts lie beside the code with lines, in a folder of its own (`_compile/cache.py`): what was shown
once is not compiled again.
"""

import hashlib
import pickle
import platform
import sys
from collections.abc import Callable
from functools import cache as cached
from pathlib import Path
from typing import Any, NamedTuple

import llvmlite.binding as llvm
import numba
from numba.core.caching import NullCache
from numba.core.cgutils import normalize_ir_text
from numba.core.codegen import JITCPUCodegen

from minicaffe.machine.compiling import compiling

from ..._kept import safe
from ..._source import _source
from .._compile import cache
from .._compile.jit import Kernel
from . import line_tables
from .child import Died, in_child

INTEL = platform.machine() in ("x86_64", "AMD64", "i686")
WITHOUT = "shown without its lines of Python"


class Texts(NamedTuple):
    """The assembly and LLVM's code of a kernel's module, and the kernel's symbol in them."""

    asm: str
    llvm: str
    symbol: str
    missing: str = ""  # why there are no lines, or no text


class Made(NamedTuple):
    """What a child has compiled; `code` are the sections with machine code, by their names."""

    asm: str
    llvm: str
    symbol: str
    code: dict[str, bytes]


def texts_of(kernel: Kernel[Any], kinds: tuple[Any, ...]) -> Texts:
    """The texts of a kernel for arguments of some types, which it has been called with."""
    running = kernel.part._cache.file(kinds, kernel.part.targetctx.codegen())
    place = kept_at(running)
    kept = cache.read_whole(place)
    if kept:
        return Texts(*pickle.loads(kept))
    compiling.begins(kernel.body.__name__)
    try:
        texts = _made(kernel, kinds, running)
    finally:
        compiling.ends(kernel.body.__name__)
    if place and texts.asm:
        cache.write_whole(place, pickle.dumps(tuple(texts)))
    return texts


def kept_at(running: Path | None) -> Path | None:
    """Where the texts of some code are kept; None where nothing is."""
    if running is None:
        return None
    folder = safe(running.parent.with_name(f"{running.parent.name}{line_tables.VARIANT}"))
    return folder and folder / f"{running.stem}-{_stamp()}.text"


@cached
def _stamp() -> str:
    """A hash of what says how texts are made."""
    modules = (line_tables, sys.modules[__name__])
    return hashlib.sha256(b"".join(map(_source, modules))).hexdigest()[:8]


def _made(kernel: Kernel[Any], kinds: tuple[Any, ...], running: Path | None) -> Texts:
    code = code_that_runs(kernel, kinds, running)
    try:
        made = in_child(lambda: compile_with_lines(kernel, kinds))
    except Died as error:
        why = f"LLVM could not write the lines of this kernel ({error}): {WITHOUT}"
    else:
        if not code or made.code == code:
            return Texts(made.asm, made.llvm, made.symbol)
        why = f"with lines this kernel would become other machine code: {WITHOUT}"
    try:
        made = in_child(lambda: compile_without(kernel, kinds))
    except Died as error:
        return Texts("", "", "", f"this kernel could not be compiled for the page: {error}")
    return Texts(made.asm, made.llvm, made.symbol, why)


def code_that_runs(
    kernel: Kernel[Any], kinds: tuple[Any, ...], path: Path | None
) -> dict[str, bytes]:
    """The machine code that calls of the kernel go to, from this process or from the disk."""
    found = kernel.part.overloads.get(kinds)
    code = found.library._compiled_object if found else None
    if not code:
        kept = cache.read_whole(path)
        state = pickle.loads(kept)[0] if kept else None
        code = state[2][0] if state and state[1] == "object" else None
    return sections(code) if code else {}


def sections(code: bytes) -> dict[str, bytes]:
    """The machine code of an object file by the names of its sections."""
    found = llvm.ObjectFileRef.from_data(code)
    return {
        section.name().decode(): bytes(section.data())
        for section in found.sections()
        if section.is_text() and section.size()
    }


# ---- in the child


def compile_with_lines(kernel: Kernel[Any], kinds: tuple[Any, ...]) -> Made:
    """Compile a kernel, and what it calls, with lines."""
    line_tables.turn_on(kernel.body)
    return compile_without(kernel, kinds)


def compile_without(kernel: Kernel[Any], kinds: tuple[Any, ...]) -> Made:
    """Compile a kernel anew, and write its texts.

    To write a module's assembly changes it, as to make its code does, and so does a copy: another
    process writes it, of the module as it is before.
    """
    texts: list[tuple[str, str]] = []
    add = JITCPUCodegen._add_module

    def write_before(self: Any, module: Any) -> Any:
        if module.name == name:  # and not what it calls
            texts[:] = [in_child(lambda: (_machine(self).emit_assembly(module), str(module)))]
        return add(self, module)

    dispatcher = kernel.part
    name = normalize_ir_text(dispatcher.py_func.__qualname__)
    dispatcher._cache = NullCache()
    dispatcher.overloads.pop(kinds, None)
    JITCPUCodegen._add_module = write_before
    dispatcher.compile(kinds)
    made = dispatcher.overloads[kinds]
    code = sections(made.library._get_compiled_object())
    return Made(*texts[0], made.fndesc.llvm_func_name, code)


def _machine(codegen: Any) -> Any:
    """A target like that of a code generator, which writes x86 in Intel's syntax."""
    if INTEL:
        llvm.set_option("", "--x86-asm-syntax=intel")
    options: dict[str, Any] = {"opt": numba.config.OPT}
    codegen._customize_tm_options(options)
    make: Callable[..., Any] = llvm.Target.from_triple(
        llvm.get_process_triple()
    ).create_target_machine
    return make(**options)
