"""What is wrong with a kernel, in one sentence: Numba's account of it becomes a KernelError."""

import builtins
import dis
import inspect
import re
import sys
import traceback
from collections.abc import Callable, Iterator
from pathlib import Path
from types import CodeType, FunctionType
from typing import Any

import numpy as np

from minicaffe.errors import Error, KernelError, did_you_mean, shown

Place = tuple[str, int]

FAILED = ("Failed in nopython mode", "Failed in cuda mode")
BEYOND = "it, or what it calls, reads or writes beyond the end of an array"
NO_ROW = (
    "an index goes beyond the rows of an array, which has more dimensions than it is given indices:"
    " pass it flat, as x.reshape(-1), or loop over its shape"
)

# What Numba says at some length, and the words for it here; the first that is found holds.
SENTENCES = (
    (r"raised a specific error:\s+\w+: (?!Failed in)(.+)", r"\1"),
    (r">>> setitem\((.+?\)), .+, ([^,()]+)\)$", r"cannot store \2 in \1"),
    (r">>> (.+)$", r"there is no \1: these types do not go together"),
    (r"Untyped global name '(\w+)':.*(?:Kernel|Dispatcher)'>",
     r"'\1' is a kernel, and a kernel cannot call another: make it @inner"),
    (r"Untyped global name '(\w+)':.*",
     r"'\1' is neither a number nor a function that is compiled (@inner)"),
    (r"Cannot bind 'args=.*?' to signature '(.*?)' due to \"TypeError: (.*)\"",
     r"a call of a function of \1: \2"),
    (r"Cannot unify (.+?) and (.+?) for '(\w+)[.\d]*'.*",
     r"'\3' is \1 in one place and \2 in another: a variable has one type"),
    (r"(Variable '\w+') is not defined", r"\1 is read before it has a value"),
    (r"The '(\w+).*' construct is not supported.*",
     r"'\1' cannot be compiled: compute with numbers, arrays and loops only"),
    (r"unsupported opcode \(IMPORT_.*", "an import in a kernel: write it at the head of the file"),
    (r"unsupported opcode \((\w+)\).*",
     r"\1 cannot be compiled: compute with numbers, arrays and loops only"),
    (r"(The use of .*) is unsupported\.", r"\1 cannot be compiled: write the loop out"),
    (r"non-precise type (\w+)", r"an argument is a Python object: pass arrays and numbers"),
    (r"cannot compute type fingerprint.*",
     "an argument is a Python object: pass arrays and numbers"),
    (r"\('wrong tuple length.*?', '(.*)'\)", r"a tuple is taken apart into a wrong number: \1"),
)  # fmt: skip


def failure(body: Callable[..., Any], args: Any, kwargs: Any, error: Exception) -> Exception:
    """The KernelError for what went wrong when a kernel was called; other errors of ours stay.

    It begins with file, line and kernel. Numba's own account is its context, which `--debug` shows.
    """
    assert isinstance(body, FunctionType)
    if isinstance(error, Error | MemoryError):
        return error
    if isinstance(error, SyntaxError):
        return KernelError(_one_line(str(error)))
    ours = wrong_count(body, args, kwargs) or _element(body, args)
    at, cause = ours or _cause(body, error)
    explained = ours or cause.startswith(("name '", BEYOND))
    if (_is_numbas(error) or isinstance(error, IndexError)) and not explained:
        kinds = ", ".join(_kind(value) for value in args)
        cause += f" (called with {kinds})" if kinds else ""
    return KernelError(f"{shown(at[0])}:{at[1]}, kernel {body.__name__}: {_one_line(cause)}")


def _one_line(text: str) -> str:
    return " ".join(text.split())


def _is_numbas(error: Exception) -> bool:
    from numba.core.errors import NumbaError  # here: only devices that compile need Numba

    return isinstance(error, NumbaError)


def _kind(value: Any) -> str:
    from numba import typeof

    try:
        return str(getattr(value, "kind", None) or typeof(value))
    except (ValueError, NotImplementedError):
        return type(value).__name__
    except Exception as error:
        if not _is_numbas(error):
            raise
        return type(value).__name__


def wrong_count(body: FunctionType, args: Any, kwargs: Any) -> tuple[Place, str] | None:
    """What is wrong with the number of arguments, if anything is."""
    names = list(inspect.signature(body).parameters)
    if len(args) == len(names) and not kwargs:
        return None
    what = f"takes {len(names)} arguments, by position ({', '.join(names)}), it is called with"
    by_name = f" and by name {', '.join(kwargs)}" if kwargs else ""
    return caller(), f"{what} {len(args)}{by_name} here"


def _element(body: FunctionType, args: Any) -> tuple[Place, str] | None:
    """What is wrong with the elements of an array among the arguments, if Numba knows none such."""
    for name, value in zip(inspect.signature(body).parameters, args, strict=True):
        kind = getattr(value, "dtype", None) if isinstance(value, np.ndarray) else None
        if kind is not None and (kind.hasobject or kind == np.float16 or not kind.isnative):
            return _first(body), f"'{name}' is an array of {kind}, which cannot be compiled"
    return None


def caller() -> Place:
    """Where the kernel is called: the nearest frame outside of what compiles."""
    frame = sys._getframe()
    while frame.f_back and (
        frame.f_globals["__name__"] == __name__
        or str(frame.f_globals.get("__package__")).endswith("._compile")
    ):
        frame = frame.f_back
    return frame.f_code.co_filename, frame.f_lineno


def _cause(body: FunctionType, error: Exception) -> tuple[Place, str]:
    """Where it went wrong, and why."""
    text = str(error)
    unknown = re.search(r"NameError: name '(\w+)' is not defined", text)
    if unknown:
        name = unknown[1]
        known = {*body.__globals__, *body.__code__.co_varnames, *dir(builtins)}
        return _naming(body, name), f"name '{name}' is not defined{did_you_mean(name, known)}"
    if isinstance(error, AttributeError):
        name = str(error.name)
        return _naming(body, name), f"{text}{did_you_mean(name, dir(error.obj))}"
    if isinstance(error, IndexError):
        return _raised(body, error), text if text == NO_ROW else BEYOND
    if not _is_numbas(error):
        plain = (
            text if isinstance(error, NotImplementedError) else f"{type(error).__name__}: {text}"
        )
        return _raised(body, error), _sentence(plain)
    return _told(body, error, text), _sentence(text)


def _sentence(text: str) -> str:
    """The words for what Numba says: its first line, where it is none of `SENTENCES`."""
    for pattern, words in SENTENCES:
        found = re.search(pattern, text, re.MULTILINE)
        if found:
            return re.sub(r"Literal\[\w+\]\((.*?)\)", r"'\1'", found.expand(words))
    lines = (line for line in text.splitlines() if line.strip())
    return next((line for line in lines if not line.startswith(FAILED)), text)


def _told(body: FunctionType, error: Exception, text: str) -> Place:
    """The innermost place that Numba names, in a file that is not its own."""
    for file, line in re.findall(r"(?:at|from) (\S.*?) \((\d+)\)", text):
        if "numba" not in file and not file.startswith("<"):
            return file, int(line)
    loc = getattr(error, "loc", None)
    return (loc.filename, loc.line) if loc else _first(body)


def _raised(body: FunctionType, error: Exception) -> Place:
    """The last line of the kernel in a traceback.

    Machine code from the cache may have been compiled where the same file lay in another folder,
    whose path the traceback then has.
    """
    file = Path(body.__code__.co_filename)
    inside = [
        frame
        for frame in traceback.extract_tb(error.__traceback__)
        if frame.name == body.__name__ and Path(frame.filename).name == file.name
    ]
    return (str(file), inside[-1].lineno or 0) if inside else _first(body)


def _first(body: FunctionType) -> Place:
    return body.__code__.co_filename, body.__code__.co_firstlineno


def _naming(body: FunctionType, name: str) -> Place:
    """Where the kernel, or a compiled function that it calls, uses a name."""
    for function in _reached(body, set()):
        for step in dis.get_instructions(function.__code__):
            if step.argval == name and step.positions and step.positions.lineno:
                return function.__code__.co_filename, step.positions.lineno
    return _first(body)


def _reached(body: FunctionType, seen: set[CodeType]) -> Iterator[FunctionType]:
    """The function and all that it calls, as far as their names tell."""
    if body.__code__ in seen:
        return
    seen.add(body.__code__)
    yield body
    cells = [cell.cell_contents for cell in body.__closure__ or ()]
    for value in [*(body.__globals__.get(name) for name in body.__code__.co_names), *cells]:
        function = getattr(value, "py_func", value)
        if isinstance(function, FunctionType):
            yield from _reached(function, seen)
