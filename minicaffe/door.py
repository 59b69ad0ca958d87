"""How doors import the files that they find: what is wrong in one is a sentence with its place."""

from __future__ import annotations

import importlib
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from importlib.util import module_from_spec, spec_from_file_location
from types import ModuleType, TracebackType

from .errors import Error, shown

TOP = "<module>"  # what a traceback calls the code of a module itself


def open_module(name: str, kind: type[Error] = Error, asker: str = "") -> ModuleType:
    """Import a module. Raises `kind`, which names file and line, for a fault in its file.

    `asker`, such as "layer 'x' (Python)", begins the sentence. A module that is not there, and
    a package above it, is a ModuleNotFoundError: the door knows where it looked.
    """
    begin = f"{asker}: " if asker else ""
    if "" in name.split("."):
        raise kind(f"{begin}'{name}' is no name of a module, such as layers or package.layers")
    with _faults_told(name, kind, begin):
        return importlib.import_module(name)


def open_file(path: str, kind: type[Error] = Error) -> ModuleType:
    """Import a file, whatever its name, as a module of its own. Raises `kind` as `open_module`."""
    name = f"file {os.path.abspath(path)}"
    spec = spec_from_file_location(name, path)
    if spec is None or spec.loader is None:
        raise kind(f"{shown(path)}: a file of Python (.py) is expected")
    module = sys.modules[name] = module_from_spec(spec)
    try:
        with _faults_told(name, kind, ""):
            spec.loader.exec_module(module)
    except BaseException:
        del sys.modules[name]
        raise
    return module


@contextmanager
def _faults_told(name: str, kind: type[Error], begin: str) -> Iterator[None]:
    """Turn what is wrong in the file of a module into a `kind`, with its place."""
    try:
        yield
    except Error:
        raise
    except SyntaxError as error:
        place = f"{shown(error.filename or name)}:{error.lineno}:{error.offset or 1}"
        raise kind(f"{begin}{place}: {type(error).__name__}: {error.msg}") from error
    except ModuleNotFoundError as error:
        missing = error.name or ""
        if name == missing or name.startswith(f"{missing}."):
            raise
        place = where(error.__traceback__)
        said = f"{begin}{place} imports '{missing}', which is not installed, nor on PYTHONPATH"
        raise kind(said) from error
    except (Exception, SystemExit) as error:
        said = " ".join(str(error).split())
        said = f"{begin}{where(error.__traceback__)}: {type(error).__name__}: {said}"
        raise kind(said) from error


def users_module(name: str, folder: str, kind: type[Error], asker: str) -> ModuleType:
    """A user's module: on PYTHONPATH, in `folder` (the prototxt's), or in the working directory."""
    try:
        return open_module(name, kind, asker)
    except (ModuleNotFoundError, ValueError):
        if look_in([folder or ".", "."], name):
            with suppress(ModuleNotFoundError):  # the file is there, but is no package
                return open_module(name, kind, asker)
    expected = f"{name.replace('.', '/')}.py is expected in one of them"
    if name.endswith(".py"):
        expected = f"a module is named without .py: '{name.removesuffix('.py')}'"
    raise kind(
        f"{asker}: no module '{name}' on PYTHONPATH, beside the prototxt, or in the working"
        f" directory: {expected}"
    )


def where(trace: TracebackType | None, file: str = "") -> str:
    """The last "file:line" of a traceback: in `file` if it goes there.

    Without a `file` it is the last line of a module itself, of what runs when it is imported.
    """
    import traceback  # here: every program imports this file

    frames = traceback.extract_tb(trace)
    mine = [frame for frame in frames if (frame.filename if file else frame.name) == (file or TOP)]
    last = (mine or frames)[-1]
    return f"{shown(last.filename)}:{last.lineno}"


def hidden_by(module: ModuleType, folder: str) -> str:
    """The end of a sentence about a module that hides a user's file of its name, or nothing.

    The file lies in `folder` or in the working directory.
    """
    file = f"{module.__name__.replace('.', os.sep)}.py"
    for place in (os.path.join(folder, file), file):
        if os.path.isfile(place) and os.path.abspath(place) != module.__file__:
            return f"; it comes before {shown(place)}, which needs another name"
    return ""


def look_in(folders: list[str], name: str) -> bool:
    """Let Python find a module in one of some folders too, after all others; whether it is there.

    Its own imports, at whatever time, are then found there as well.
    """
    first = name.partition(".")[0]
    for folder in map(os.path.abspath, folders):
        there = (os.path.join(folder, first, "__init__.py"), os.path.join(folder, f"{first}.py"))
        if any(map(os.path.isfile, there)):
            if folder not in sys.path:
                sys.path.append(folder)
            importlib.invalidate_caches()
            return True
    return False
