"""MINICAFFE_PATH: folders that mirror the rooms, and whose files come before the product's.

    MINICAFFE_PATH=~/lab        ~/lab/layers/relu.py         is minicaffe.layers.relu
                                ~/lab/kernels/mine/gemm.py   makes a device `mine`
                                ~/lab/solver/update.py       is minicaffe.solver.update

A file of such a folder is the module of its name, through every import and every door (doors list
the same paths). What it imports relatively is the product's, but for what the folders have too.
Several folders are separated by os.pathsep (`:`), the first comes first. An entry may lie in a zip;
one that is nowhere on disk is looked for beside the entries of sys.path: so do the folders travel
to Spark's executors (see distributed/spark/code.py).
"""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator, Sequence
from importlib.machinery import ModuleSpec, PathFinder
from types import ModuleType

VARIABLE = "MINICAFFE_PATH"
ROOMS = ("layers", "kernels", "distributed")
# Folders that list their files: a new name in one of them is a new layer, solver, source ...
DOORS = {
    "layers", "layers/fused", "solver/rules", "data/sources", "distributed/transport",
    "distributed/sync", "cli", "cli/convert",
}  # fmt: skip
BESIDE = {"benchmarks", "docs", "examples", "tests"}  # of a checkout; nothing imports from there
LAB = ".lab.json"  # marks the folder of a course lab
READ_BEFORE = {"__init__.py", "overlay.py"}  # no other file can take their place
# What tells an error of the command line, and so has to be there before the error is.
TELLS = ("minicaffe.__main__", "minicaffe.cli", "minicaffe.cli._commands",
         "minicaffe.cli._glog_flags", "minicaffe.errors",
         "minicaffe.machine", "minicaffe.machine.signals", "minicaffe.monitor",
         "minicaffe.monitor.glog")  # fmt: skip

_folders: tuple[str, ...] = ()


def install(path: list[str]) -> None:
    """Let the folders of MINICAFFE_PATH come first in `path`, the __path__ of minicaffe."""
    global _folders
    entries = os.environ.get(VARIABLE, "").split(os.pathsep)
    _folders = tuple(dict.fromkeys(_resolve(entry) for entry in entries if entry.strip()))
    if _folders:
        sys.meta_path.insert(0, OverlayFinder(_folders, tuple(path)))
        path[:0] = _folders


def folders() -> tuple[str, ...]:
    """The folders of MINICAFFE_PATH, absolute, in their order."""
    return _folders


def is_overlaid(module_name: str) -> bool:
    """Whether a module is a file of MINICAFFE_PATH. False for one that does not exist."""
    if not _folders:
        return False
    import importlib.util  # here and below where it is needed: every program imports this file

    spec = importlib.util.find_spec(module_name)
    return spec is not None and _is_ours(spec.origin or "")


def product_folder(package: ModuleType) -> str:
    """Where the product has a package, MINICAFFE_PATH apart."""
    return next(entry for entry in package.__path__ if not _is_ours(entry))


def new_folders(package: str) -> set[str]:
    """The folders with Python files that MINICAFFE_PATH has below a room, such as "kernels"."""
    places = [os.path.join(folder, package) for folder in _folders]
    found = [entry for place in places if os.path.isdir(place) for entry in os.scandir(place)]
    return {
        entry.name
        for entry in found
        if entry.is_dir() and any(name.endswith(".py") for name in os.listdir(entry.path))
    }


def mirrored_files() -> dict[str, str]:
    """The Python files of all the folders: path below a folder -> where it is; the first holds.

    Raises Error for a folder that is not there and for a file that mirrors nothing.
    """
    found: dict[str, str] = {}
    for folder in _folders:
        if not os.path.isdir(folder):
            raise _error(f"there is no folder {folder}")
        for name in _sources(folder):
            found.setdefault(name, os.path.join(folder, name))
    return found


class OverlayFinder:
    """Finds minicaffe's packages with the folders of MINICAFFE_PATH at the head of their paths.

    The rest, from files to what pkgutil lists, is Python's own way with a path.
    """

    def __init__(self, folders: Sequence[str], product: Sequence[str]) -> None:
        self._folders = folders
        self._product = product
        self._checked = False

    def find_spec(
        self, name: str, path: Sequence[str] | None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        """The spec of a module below minicaffe. Raises Error if MINICAFFE_PATH is at fault."""
        if path is None or not name.startswith("minicaffe."):
            return None
        if not self._checked and name not in TELLS:
            self._check()
        spec = PathFinder.find_spec(name, path, target)
        if spec is None or spec.submodule_search_locations is None:
            return spec
        below = name.split(".")[1:]
        ours = [os.path.join(folder, *below) for folder in self._folders]
        product = PathFinder.find_spec(name, [entry for entry in path if not _is_ours(entry)])
        theirs = (product and product.submodule_search_locations) or ()
        found = [*filter(_exists, ours), *spec.submodule_search_locations, *theirs]
        spec.submodule_search_locations = list(dict.fromkeys(found))
        return spec

    def _check(self) -> None:
        on_disk = [folder for folder in self._folders if not _zip_of(folder)]
        for folder in on_disk:
            if not os.path.isdir(folder):
                raise _error(f"there is no folder {folder}")
        if os.path.isdir(self._product[0]):  # and not in a zip
            known = set(_product_files(self._product))
            for folder in on_disk:
                if os.path.exists(os.path.join(folder, LAB)):
                    continue  # laid out by `minicaffe lab start`; a student's notes lie beside
                for name in _sources(folder):
                    if not _mirrors(name, known):
                        raise _error(_strayed(folder, name, known))
        self._checked = True


def _error(message: str) -> Exception:
    from .errors import Error

    return Error(f"{VARIABLE}: {message}")


def _resolve(entry: str) -> str:
    """The absolute path of an entry; in a zip on sys.path if there is none of its name here."""
    path = os.path.abspath(os.path.expanduser(entry.strip()))
    head, _, rest = entry.partition("/")
    if not os.path.exists(path) and head.endswith(".zip"):
        for place in sys.path:
            if os.path.basename(place) == head:
                return os.path.join(place, rest)
    return path


def _zip_of(path: str) -> str:
    """The zip in which a path lies; "" if it lies in none."""
    before, found, _ = path.partition(".zip/")
    return before + ".zip" if found and os.path.isfile(before + ".zip") else ""


def _exists(place: str) -> bool:
    return bool(_zip_of(place)) or os.path.isdir(place)


def _is_ours(path: str) -> bool:
    return any(path == folder or path.startswith(folder + os.sep) for folder in _folders)


def _sources(folder: str, below: str = "", depth: int = 0) -> Iterator[str]:
    """The Python files of a folder by their paths in it, but for what stands beside the rooms.

    Four folders deep: no room is deeper, and a folder may hold a data set too.
    """
    for entry in sorted(os.scandir(os.path.join(folder, below)), key=lambda entry: entry.name):
        name = f"{below}{entry.name}"
        if entry.name.endswith(".py") and entry.is_file():
            yield name
        elif entry.is_dir() and depth < 4 and not _is_skipped(name, entry.path):
            yield from _sources(folder, f"{name}/", depth + 1)


def _is_skipped(folder: str, path: str) -> bool:
    hidden = folder.rpartition("/")[2].startswith((".", "__"))
    return folder in BESIDE or hidden or os.path.exists(os.path.join(path, "pyvenv.cfg"))


def _product_files(product: Sequence[str]) -> Iterator[str]:
    """The product's files as a folder of MINICAFFE_PATH would have them."""
    yield from _sources(product[0])
    for room in ROOMS:  # in a checkout they stand beside minicaffe/, installed they are inside
        for entry in product[1:]:
            if os.path.isdir(os.path.join(entry, room)):
                yield from _sources(entry, f"{room}/")


def _mirrors(name: str, known: set[str]) -> bool:
    """Whether a file has a place: one that exists, or a new one where a door or a file finds it."""
    folder, _, file = name.rpartition("/")
    if not folder:
        return name in known - READ_BEFORE
    room, device, *_ = [*folder.split("/"), ""]
    if room == "kernels" and device:
        if f"kernels/{device}/__init__.py" not in known or folder == f"kernels/{device}":
            return True  # a new device, a new family
    elif folder in DOORS:
        return True
    return name in known or (file.startswith("_") and f"{folder}/__init__.py" in known)


def _strayed(folder: str, name: str, known: set[str]) -> str:
    import difflib

    rooms = sorted({path.partition("/")[0] for path in known if "/" in path})
    near = difflib.get_close_matches(name, known, 1, 0.75)
    hint = f"; did you mean {near[0]}?" if near else ""
    return (
        f"{os.path.join(folder, name)} mirrors no file of minicaffe: expected in {folder} are"
        f" layers/TYPE.py, kernels/DEVICE/FAMILY.py or a path below one of {', '.join(rooms)}{hint}"
    )
