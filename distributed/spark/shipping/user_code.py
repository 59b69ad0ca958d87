"""The user's code that travels with a job: modules of Python layers and data sources, and theirs.

The driver finds a module as it would import it: on sys.path, else beside the prototxt, else in the
working directory. What it finds outside of the installed packages goes with the job, with all that
this imports from such places; what is installed is expected on the executors too. There the modules
that have come stand before all others of their names, those alone, and for this job alone: another
job brings its own, even to the same Python process.

Imports are read from the files' text: what a module imports by a name that it computes is not seen
(`--py-files` ships it).
"""

from __future__ import annotations

import ast
import contextlib
import importlib
import importlib.util
import os
import sys
import sysconfig
import tempfile
from collections.abc import Iterator, Sequence
from importlib.machinery import EXTENSION_SUFFIXES, ModuleSpec, PathFinder
from pathlib import Path
from types import ModuleType

from minicaffe.data.source import known_sources
from minicaffe.errors import Error
from minicaffe.layer import layer_class
from minicaffe.proto import minicaffe_pb2 as pb
from minicaffe.proto.places import places_of

FOLDER = "code"  # where a task puts what has come, below its own folder
EVERYWHERE = {"minicaffe", "caffe", "com", "pyspark", "py4j"}  # which executors have in other ways
INSTALLED = {"site-packages", "dist-packages"}

COMPILED = tuple(EXTENSION_SUFFIXES)

Code = dict[str, bytes]  # path below the folder -> the file's content


# --- on the driver -------------------------------------------------------------------------------


def collect_code(net: pb.NetParameter) -> Code:
    """The files of the user's modules that a net names, and of the modules that these import.

    A module that cannot be found is left out: the layer that wants it says so, where it runs.
    """
    code: Code = {}
    for layer, place in zip(net.layer, places_of(net), strict=True):
        name = _module_of(layer)
        if name:
            beside = os.path.dirname(place.file) if place else ""
            _collect(name.partition(".")[0], [os.path.abspath(beside), os.getcwd()], code)
    return code


def own_source(layer: pb.LayerParameter) -> bool:
    """Whether the data source of a layer is a user's class, named by its module."""
    name, _ = layer_class(layer.type).fed_by(layer) or ("", "")
    module, _, word = name.strip().rpartition(".")
    return bool(module) and word not in known_sources()


def _module_of(layer: pb.LayerParameter) -> str:
    """The module that a layer names; "" for none."""
    if layer.type == "Python":
        return layer.python_param.module
    return layer.source_class.strip().rpartition(".")[0] if own_source(layer) else ""


def _collect(name: str, folders: Sequence[str], code: Code) -> None:
    """Take in a module or package of the user's, if that is what a name means, and its imports."""
    if name in EVERYWHERE or name in _modules(code):
        return
    found = {path: Path(origin).read_bytes() for path, origin in _files(_find(name, folders))}
    code.update(found)
    for content in found.values():
        for other in _imports(content):
            _collect(other, folders, code)


def _find(name: str, folders: Sequence[str]) -> ModuleSpec | None:
    """The spec of a top-level module, as an import in a layer's file would find it.

    None for another name of a module too, as `caffe` is one of minicaffe.
    """
    importlib.invalidate_caches()
    try:
        spec = importlib.util.find_spec(name)
    except (ImportError, ValueError):  # ValueError: __main__, and what has been made by hand
        return None
    if spec is None:
        spec = PathFinder.find_spec(name, folders)
        return spec if spec and spec.origin else None  # and no folder that is no package
    return spec if spec.name == name else None


def _files(spec: ModuleSpec | None) -> Iterator[tuple[str, str]]:
    """The Python files of a user's module: the path to import each by, and where it is."""
    if spec is None:
        return
    if spec.submodule_search_locations is None:
        if spec.origin and spec.origin.endswith(".py") and _is_users(spec.origin):
            yield f"{spec.name}.py", spec.origin
        return
    found = [
        (os.path.join(spec.name, os.path.relpath(path, root)), path)
        for root in filter(_is_users, spec.submodule_search_locations)
        for path in _walk(root)
    ]
    if not any(path.endswith(COMPILED) for path, _ in found):
        yield from (each for each in found if each[0].endswith(".py"))


def _walk(root: str) -> Iterator[str]:
    """The files of a package and of the packages in it."""
    for folder, below, names in os.walk(root):
        below[:] = sorted(each for each in below if each.isidentifier() and each[:2] != "__")
        yield from (os.path.join(folder, name) for name in sorted(names))


def _is_users(path: str) -> bool:
    """Whether a module's file or folder is on disk, and no part of Python or of what is installed.

    A folder in which packages are installed, wherever it is, has the descriptions of them too.
    """
    python = (sysconfig.get_path("stdlib"), sysconfig.get_path("platstdlib"))
    if not os.path.exists(path) or path.startswith(python) or INSTALLED & set(Path(path).parts):
        return False
    return next(Path(path).parent.glob("*.dist-info"), None) is None


def _modules(code: Code) -> set[str]:
    """The top-level modules and packages that some files make."""
    return {path.partition("/")[0].removesuffix(".py") for path in code}


def _imports(source: bytes) -> set[str]:
    """The top-level modules that a file imports."""
    try:
        nodes = list(ast.walk(ast.parse(source)))
    except (SyntaxError, ValueError):  # the layer says what is wrong with it
        return set()
    names = [each.name for node in nodes if isinstance(node, ast.Import) for each in node.names]
    names += [
        node.module
        for node in nodes
        if isinstance(node, ast.ImportFrom) and node.module and not node.level
    ]
    return {name.partition(".")[0] for name in names}


@contextlib.contextmanager
def tried_here(code: Code) -> Iterator[None]:
    """Let the modules that will travel be found on the driver as they will be on an executor."""
    with tempfile.TemporaryDirectory(prefix="minicaffe-") as folder, importable(code, folder):
        yield


# --- on an executor ------------------------------------------------------------------------------


@contextlib.contextmanager
def importable(code: Code, folder: str) -> Iterator[None]:
    """Let the modules of `code`, unpacked below `folder`, come first in a `with` block.

    An error, or a note in it, that names one of their files does so by its path below the folder.
    """
    root = os.path.join(folder, FOLDER)
    for path, content in code.items():
        target = Path(root, path)
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_bytes(content)
    finder = _Finder(root, _modules(code))
    hidden = finder.forget()
    sys.meta_path.insert(0, finder)
    try:
        yield
    except Exception as error:
        if isinstance(error, Error):
            error.args = (str(error).replace(f"{root}/", ""), *error.args[1:])
        for index, note in enumerate(getattr(error, "__notes__", ())):
            error.__notes__[index] = note.replace(f"{root}/", "")
        raise
    finally:
        sys.meta_path.remove(finder)
        finder.forget()
        sys.modules.update(hidden)


class _Finder:
    """Finds some top-level modules, and no others, in a folder."""

    def __init__(self, root: str, names: set[str]) -> None:
        self.root = root
        self.names = names

    def find_spec(
        self, name: str, path: Sequence[str] | None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        """The spec of one of the modules; what is below them, they find by their own paths."""
        return PathFinder.find_spec(name, [self.root]) if name in self.names else None

    def forget(self) -> dict[str, ModuleType]:
        """Take the modules out of sys.modules; what was there."""
        ours = [name for name in sys.modules if name.partition(".")[0] in self.names]
        return {name: sys.modules.pop(name) for name in ours}
