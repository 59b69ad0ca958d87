"""Answering to the name `caffe`, so that files which say `import caffe` run unchanged."""

from __future__ import annotations

import importlib
import importlib.util
import sys
from collections.abc import Sequence
from importlib.abc import Loader, MetaPathFinder
from importlib.machinery import ModuleSpec
from types import ModuleType


def install_as_caffe() -> None:
    """Make `import caffe`, `from caffe.proto import caffe_pb2` ... mean minicaffe, from now on.

    One line before the first of them serves every file of a program. Nothing is done where a real
    Caffe is installed, or was imported.
    """
    if "caffe" in sys.modules:
        return
    found = importlib.util.find_spec("caffe")
    if found is not None and found.origin is not None:  # None: some folder of that name, no package
        return
    sys.modules["caffe"] = importlib.import_module("minicaffe")
    sys.meta_path.insert(0, _Finder())


class _Finder(MetaPathFinder):
    """Finds `caffe.x` as `minicaffe.x`: the same module, not a second one of the same file."""

    def find_spec(
        self, name: str, path: Sequence[str] | None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        if not name.startswith("caffe."):
            return None
        ours = "minicaffe" + name.removeprefix("caffe")
        if importlib.util.find_spec(ours) is None:
            return None
        return importlib.util.spec_from_loader(name, _Loader(ours))


class _Loader(Loader):
    """Gives a module that is there already; its own spec stays."""

    def __init__(self, name: str) -> None:
        self.name = name

    def create_module(self, spec: ModuleSpec) -> ModuleType:
        module = importlib.import_module(self.name)
        self.spec = module.__spec__
        return module

    def exec_module(self, module: ModuleType) -> None:
        module.__spec__ = self.spec
