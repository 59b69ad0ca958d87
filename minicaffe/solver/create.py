"""The door to the solvers: `create_solver(param)` finds the update rule by its type in `rules/`."""

from __future__ import annotations

import importlib
import pkgutil
from collections.abc import Callable
from types import ModuleType

from ..door import open_module
from ..errors import SolverError
from ..net.net import Net
from ..proto import minicaffe_pb2 as pb
from .solver import Solver


def known_solvers() -> dict[str, type[Solver]]:
    """The solver classes by type name, from the files in `rules/`."""
    found: dict[str, type[Solver]] = {}
    for name in _files():
        found |= _solvers_in(name)
    return found


def _files() -> list[str]:
    """The names of the files in `rules/`."""
    return [info.name for info in pkgutil.iter_modules(_rules().__path__)]


def _rules() -> ModuleType:
    return importlib.import_module("minicaffe.solver.rules")


def _solvers_in(name: str) -> dict[str, type[Solver]]:
    """The solver classes of a file in `rules/`, by type name."""
    module = open_module(f"{_rules().__name__}.{name}", SolverError)
    classes = [value for value in vars(module).values() if isinstance(value, type)]
    return {each.type: each for each in classes if issubclass(each, Solver) and each is not Solver}


def _solver_class(type_name: str) -> type[Solver]:
    """The class of a solver type: most often in the file of its name, AdaGrad's in adagrad.py."""
    name = type_name.lower()
    solvers = _solvers_in(name) if name in _files() else {}
    if type_name not in solvers:
        solvers = known_solvers()
    if type_name not in solvers:
        known = ", ".join(sorted(solvers))
        raise SolverError(f"no solver type '{type_name}' (there are: {known})")
    return solvers[type_name]


def create_solver(
    param: pb.SolverParameter,
    *,
    net_class: Callable[..., Net] = Net,
    device: str | None = None,
    share_memory: bool = True,
    fuse: bool = True,
) -> Solver:
    """The solver of a SolverParameter's type, with its nets built by `net_class` on a device.

    `share_memory` (for the test nets) and `fuse`: see `Solver`.

    Raises SolverError for an unknown type, with the known ones.
    """
    return _solver_class(param.type)(
        param, net_class=net_class, device=device, share_memory=share_memory, fuse=fuse
    )
