"""The other names that modules answer to: pycaffe's places for them, and `caffe` for them all.

`minicaffe.io` is minicaffe/pycaffe/io.py, and where minicaffe stands in for Caffe, so is
`caffe.io`: the same module, never a second one of the same file.
"""

from __future__ import annotations

import importlib
import sys
from collections.abc import Sequence
from importlib.machinery import ModuleSpec
from types import ModuleType
from typing import Any

# Modules that scripts for pycaffe import, and that live in minicaffe/pycaffe/.
PYCAFFE = ("_caffe", "classifier", "coord_map", "detector", "draw", "io", "net_spec", "params")


def install_as_caffe() -> None:
    """Make `import caffe`, `from caffe.proto import caffe_pb2` ... mean minicaffe, from now on.

    One line before the first of them serves every file of a program. Nothing is done where a real
    Caffe is installed, or was imported.
    """
    import importlib.util  # where it is needed: every program pays for what this module imports

    if "caffe" in sys.modules:
        return
    found = importlib.util.find_spec("caffe")
    if found is not None and found.origin is not None:  # None: some folder of that name, no package
        return
    sys.modules["caffe"] = importlib.import_module("minicaffe")


def home_of(name: str) -> str | None:
    """The module that answers to another name; None where the name is nobody's alias.

    "minicaffe.io" -> "minicaffe.pycaffe.io", and "caffe.io" too where `caffe` is minicaffe.
    """
    package, _, rest = name.partition(".")
    ours = sys.modules.get("minicaffe")
    if not rest or ours is None or sys.modules.get(package) is not ours:
        return None
    first = rest.partition(".")[0]
    home = f"minicaffe.pycaffe.{rest}" if first in PYCAFFE else f"minicaffe.{rest}"
    return home if home != name else None


class AliasFinder:
    """Finds a module by an alias as the one that is there already."""

    def find_spec(
        self, name: str, path: Sequence[str] | None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        """The spec of an alias; None for all other names."""
        home = home_of(name)
        if home is None:
            return None
        import importlib.util

        if importlib.util.find_spec(home) is None:
            return None
        loader: Any = _Loader(home)  # a loader by what it does, not by its base class
        return ModuleSpec(name, loader)


class _Loader:
    """Gives a module that is there already; its own spec stays."""

    def __init__(self, name: str) -> None:
        self.name = name

    def create_module(self, spec: ModuleSpec) -> ModuleType:
        module = importlib.import_module(self.name)
        self.spec = module.__spec__
        return module

    def exec_module(self, module: ModuleType) -> None:
        module.__spec__ = self.spec
