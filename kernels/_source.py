"""What a kernel's code depends on: the hash by which all devices find what they have compiled."""

import hashlib
import inspect
import sys
from collections.abc import Callable
from functools import cache
from types import FunctionType, ModuleType
from typing import Any

import numpy as np

PACKAGE = "minicaffe.kernels."
# What these ask of a compiler is in the keys of what they keep.
MACHINERY = {
    f"{PACKAGE}{name}"
    for name in ("_source", "_kept", "cpu._compile.cache", "cpu._compile.jit",
                 "cuda._compile.jit", "cuda._compile.words")
}  # fmt: skip


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


def text_stamp(body: Callable[..., Any]) -> str:
    """The same of text alone, which is equal for every version of Python."""
    assert isinstance(body, FunctionType)
    cells = [cell.cell_contents for cell in body.__closure__ or ()]
    closed_over = [
        text_stamp(getattr(value, "py_func", value)) if callable(value) else repr(value)
        for value in cells
    ]
    is_ours = body.__module__.startswith(PACKAGE)
    text = source_stamp(body.__module__) if is_ours else inspect.getsource(body)
    line = body.__code__.co_firstlineno if is_ours else 0
    return hashlib.sha256(repr((text, line, closed_over)).encode()).hexdigest()


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
