"""How ranks that train the same net stay together: one file a way, found by its name.

`create_sync("sparknet:tau=20", communicator)` finds `sync/sparknet.py` and its class SparknetSync:
a callback of the solver. A new way is one new file with such a class.
"""

from __future__ import annotations

import importlib
import pkgutil
import time
from collections.abc import Callable, Iterator, Mapping, Set
from contextlib import contextmanager
from typing import Any, ClassVar, NamedTuple

import numpy as np

from minicaffe import context
from minicaffe.errors import ClusterError, did_you_mean
from minicaffe.solver.callbacks import Iteration
from minicaffe.solver.solver import REQUESTS, Solver

from ..communicator import Communicator

DEFAULT = "allreduce"


class Parameter(NamedTuple):
    """A parameter of a way: its default, and what reads its text or raises ValueError."""

    default: Any
    read: Callable[[str], Any]


class Sync:
    """The callback that joins a solver to a communicator, which stays the caller's to close.

    Before the first iteration all ranks take over rank 0's weights and solver history. What
    follows is the way's own; its file says how many messages and bytes an iteration takes.

    parameters: what may be chosen, by name; keyword arguments of the class.
    seconds: time spent in collectives so far, in whichever thread.
    waited: seconds for which the solver stood still because of them.
    """

    parameters: ClassVar[Mapping[str, Parameter]] = {}

    def __init__(self, communicator: Communicator) -> None:
        self.communicator = communicator
        self.seconds = 0.0
        self.waited = 0.0
        self._joined = False

    @property
    def equal(self) -> bool:
        """Whether all ranks hold the same weights, bit for bit, between these two iterations."""
        return True

    def on_start(self, solver: Solver) -> None:
        """Before the first iteration make all ranks equal to rank 0."""
        self.communicator.iteration = solver.iter
        params = solver.net.flat_params
        params.check_diffs()
        if self._joined:
            return
        self._joined = True
        with self._waiting(), self._counting():
            for array in (params.data, *solver.history):
                self.communicator.broadcast(array.update("cpu"))
            self.join(solver)
        params.spread()

    def join(self, solver: Solver) -> None:
        """Called once, when the ranks have been made equal: prepare for the first iteration."""

    def on_gradients_ready(self, solver: Solver) -> None:
        """This rank's gradients are complete; the update takes what is in the flat diff then."""

    def on_iteration(self, solver: Solver, done: Iteration) -> None:
        """The update is made."""

    def settle(self, solver: Solver) -> None:
        """Before a test, and at the end: let every rank have the weights of all together."""

    def on_requests(self, solver: Solver, requests: Set[str]) -> set[str]:
        """What any rank asks for holds on all of them."""
        names = sorted(REQUESTS)
        asked = np.zeros(self.communicator.world_size, np.int64)
        asked[self.communicator.rank] = sum(1 << names.index(name) for name in requests)
        with self._waiting(), self._counting():
            self.communicator.allgather(asked)
        together = int(np.bitwise_or.reduce(asked))
        agreed = {name for bit, name in enumerate(names) if together >> bit & 1}
        if "stop" in agreed:
            self.settle(solver)
        return agreed

    def gather_random_states(self, solver: Solver) -> list[bytes]:
        """A snapshot begins: the places of all ranks in their random streams, by rank."""
        self.settle(solver)
        with self._waiting(), self._counting():
            return self.communicator.allgather_bytes(context.current().rng.get_state())

    def close(self) -> None:
        """End what runs beside the solver; a second call does nothing."""

    @contextmanager
    def _counting(self) -> Iterator[None]:
        began = time.perf_counter()
        yield
        self.seconds += time.perf_counter() - began

    @contextmanager
    def _waiting(self) -> Iterator[None]:
        began = time.perf_counter()
        yield
        self.waited += time.perf_counter() - began


# --- the door ------------------------------------------------------------------------------------


def known_syncs() -> list[str]:
    """The ways that have a file here."""
    names = (found.name for found in pkgutil.iter_modules(__path__))
    return sorted(name for name in names if not name.startswith("_"))


def create_sync(text: str, communicator: Communicator) -> Sync:
    """The way that `text` names, with its parameters: "dl4j", "dl4j:k=10", "a:b=1,c=2".

    Raises ClusterError as `read_sync` does.
    """
    kind, values = read_sync(text)
    return kind(communicator, **values)


def read_sync(text: str) -> tuple[type[Sync], dict[str, Any]]:
    """The class of a way and its parameters' values. Raises ClusterError, with what there is."""
    name, _, given = text.partition(":")
    name = name.strip().lower()
    if name not in known_syncs():
        known = ", ".join(known_syncs())
        hint = did_you_mean(name, known_syncs())
        raise ClusterError(f"-sync {name}: there is no such way{hint} (known: {known})")
    module = importlib.import_module(f"{__name__}.{name}")
    class_name = "".join(word.capitalize() for word in name.split("_"))
    kind: type[Sync] = getattr(module, f"{class_name}Sync")
    values = {key: parameter.default for key, parameter in kind.parameters.items()}
    for pair in filter(None, given.split(",")):
        key, _, value = (part.strip() for part in pair.partition("="))
        if key not in kind.parameters:
            known = ", ".join(kind.parameters) or "none"
            hint = did_you_mean(key, kind.parameters)
            raise ClusterError(
                f"-sync {text}: {name} has no parameter '{key}'{hint} (known: {known})"
            )
        try:
            values[key] = kind.parameters[key].read(value)
        except ValueError as error:
            raise ClusterError(f"-sync {text}: {key}={value}: {error} is expected") from None
    return kind, values


def whole_number(text: str) -> int:
    """A number above 0. Raises ValueError with what is expected."""
    if not text.isdecimal() or int(text) == 0:
        raise ValueError("a whole number above 0")
    return int(text)


def positive_number(text: str) -> float:
    """A finite number above 0. Raises ValueError with what is expected."""
    try:
        number = float(text)
    except ValueError:
        number = 0.0
    if not 0 < number < float("inf"):
        raise ValueError("a number above 0")
    return number
