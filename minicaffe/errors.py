"""The exceptions of minicaffe: one tree, so that a caller can catch as much as it wants.

Error
|-- ParseError          a file or a text that cannot be read: "file:line:column: ..."
|-- NetError            a graph that cannot be built: blobs, phases, shared parameters
|   `-- UnknownName     a blob or layer that the net does not have (a KeyError too)
|-- LayerError          a layer's parameters, the shapes it is given, the values it meets
|-- SolverError         a solver's parameters
|-- DataError           a source or a sample that cannot be used
|-- SnapshotError       weights or solver states that do not fit or cannot be written
|-- DeviceError         a device that is not there, or a kernel that it lacks
|-- KernelError         a kernel that cannot be compiled or fails: "file:line, kernel: ..."
|-- CommunicationError  the ring: a silent neighbour, a broken link, a frame out of turn
|-- ClusterError        Spark: slots, configuration, a rank that failed
`-- MissingExtra        an optional library, with the extra that brings it
"""

import os
from collections.abc import Iterable
from importlib import import_module
from types import ModuleType


class Error(Exception):
    """What minicaffe raises for everything that its caller can mend."""


class ParseError(Error, ValueError):
    """A file or a text that cannot be read; the message starts with its place."""


class NetError(Error):
    """A net that cannot be built or does not hold what was asked for."""


class UnknownName(NetError, KeyError):
    """A blob or layer that a net does not have; the message has the nearest that it has."""

    __str__ = Exception.__str__  # a KeyError shows its message as a literal


class LayerError(Error):
    """A layer whose parameters, shapes or inputs are not usable; the message names the layer."""

    sample: int | None = None  # of the batch, where it is about one


class SolverError(Error):
    """A solver parameter that is missing, unknown or contradicts another."""


class DataError(Error):
    """A data source or a sample that cannot be used; the message names the file or the key."""


class SnapshotError(Error):
    """Weights or a solver state that do not fit the net, or cannot be written."""


class DeviceError(Error):
    """A device that does not exist here, or a kernel that it does not have."""


class KernelError(Error):
    """A kernel that cannot be compiled or called; the message begins with its file and line."""


class CommunicationError(Error):
    """A collective operation that could not be completed; the message names rank and peer."""


class ClusterError(Error):
    """A Spark job that cannot start or has failed; the message names the rank if there is one."""


class MissingExtra(Error, ImportError):
    """An optional library that is not installed."""

    def __init__(self, library: str, extra: str, purpose: str) -> None:
        super().__init__(f"{purpose} needs {library}: pip install 'minicaffe[{extra}]'")


def extra(module: str, name: str, purpose: str) -> ModuleType:
    """Import a module of an optional library, which the extra `name` of this package brings.

    Raises MissingExtra, which names library, extra and purpose, if it cannot be imported.
    """
    library = module.partition(".")[0]
    try:
        import_module(library)
        return import_module(module)
    except ImportError as error:
        raise MissingExtra(library, name, purpose) from error


def shown(path: str) -> str:
    """A path as an error shows it: short where it lies below the working directory."""
    below = os.path.join(os.getcwd(), "")
    return path if below == os.sep else path.removeprefix(below)


def did_you_mean(name: str, known: Iterable[str]) -> str:
    """The end of a sentence about an unknown name: "; did you mean 'data'?", or nothing."""
    import difflib  # here: every program imports this file

    near = difflib.get_close_matches(name, list(known), 1, 0.6)
    return f"; did you mean '{near[0]}'?" if near else ""


def add_to(error: Error, words: str) -> None:
    """Add words to the end of an error's sentence, once."""
    if words not in str(error):
        error.args = (f"{error}{words}", *error.args[1:])
