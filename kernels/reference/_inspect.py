"""What the inspector asks of the device `reference`: see minicaffe/inspection/facts.py.

A kernel here is a function of a family, and what is shown of it are the array operations that NumPy
ran for it: for each line of Python, with shapes and microseconds. They are seen by arrays that tell
(`Told`): NumPy asks a subclass before each of its operations. Times are those of the first call
that was watched, and watching takes some microseconds an operation.
"""

import importlib
import inspect
import os
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import wraps
from types import FunctionType, ModuleType
from typing import Any

import numpy as np

from minicaffe.device import known_families
from minicaffe.inspection.facts import Form, Function, KernelCall, Kind, Listing, Row
from minicaffe.inspection.listing.names import file_name, kernel_place, last_line

NUMPY = os.path.dirname(np.__file__) + os.sep
METHODS = ("astype", "copy", "fill", "dot", "take", "argmax", "argmin", "cumsum", "repeat", "sort")
KINDS: dict[str, Kind] = {
    "matmul": "multiply-add", "dot": "multiply-add", "tensordot": "multiply-add",
    "einsum": "multiply-add", "vdot": "multiply-add", "store": "memory", "copy": "memory",
    "copyto": "memory", "pad": "memory", "concatenate": "memory", "stack": "memory",
    "fill": "memory", "take": "memory", "astype": "memory", "repeat": "memory",
    "take_along_axis": "memory", "put_along_axis": "memory", "gather": "memory", "at": "memory",
    "transpose": "address", "moveaxis": "address", "expand_dims": "address",
    "sliding_window_view": "address",
    "broadcast_to": "address", "may_share_memory": "other",
}  # fmt: skip
NOTES = {
    "matmul": "The product of two matrices, of each pair where there are more axes: BLAS.",
    "store": "Writes into a part of an array.",
    "gather": "Takes the elements that an array of indices names.",
    "pad": "Copies an array into a larger one, with a border.",
    "may_share_memory": "Asks whether two arrays may lie over each other; nothing is computed.",
    "sum": "Sums along axes.",
    "reduce": "Combines the numbers along axes.",
    "sliding_window_view": "What each window sees, without a copy.",
    "at": "Adds to (or changes) elements by their indices, one after the other.",
}
ELEMENTWISE = (
    "Element by element: one pass over its arrays in memory, and a new array if none is given."
)


@dataclass
class Operation:
    """What NumPy ran on a line, and how often; `shapes` are those of its arrays."""

    file: str
    line: int
    name: str
    shapes: str
    count: int = 0
    seconds: float = 0.0


Key = tuple[Callable[..., Any], list[Operation]]
_running: list[dict[tuple[str, int, str, str], Operation]] = []  # of the kernel that is watched


class Told(np.ndarray[Any, Any]):
    """An array whose operations are written down; it shares the memory of the one it came from."""

    def __array_ufunc__(self, ufunc: Any, method: str, *inputs: Any, **kwargs: Any) -> Any:
        name = ufunc.__name__ if method == "__call__" else f"{ufunc.__name__}.{method}"
        name = {"add.reduce": "sum", "maximum.reduce": "max", "minimum.reduce": "min"}.get(
            name, name
        )
        if kwargs.get("out"):
            kwargs["out"] = tuple(_plain(each) for each in kwargs["out"])
        return _run(name, getattr(ufunc, method), inputs, kwargs)

    def __array_function__(self, function: Any, kinds: Any, args: Any, kwargs: Any) -> Any:
        return _run(function.__name__, function, args, kwargs)

    def __setitem__(self, index: Any, value: Any) -> None:
        _run("store", _plain(self).__setitem__, (_plain(index), value), {}, _shape(self[index]))

    def __getitem__(self, index: Any) -> Any:
        each = index if isinstance(index, tuple) else (index,)
        if any(isinstance(one, np.ndarray) for one in each):
            return _run("gather", _plain(self).__getitem__, (_plain(index),), {}, _shape(self))
        return super().__getitem__(index)


def _method(name: str) -> Callable[..., Any]:
    def run(self: Told, *args: Any, **kwargs: Any) -> Any:
        return _run(name, getattr(_plain(self), name), args, kwargs, _shape(self))

    return run


for _name in METHODS:
    setattr(Told, _name, _method(_name))


def _run(name: str, function: Any, args: Any, kwargs: Any, shape: str = "") -> Any:
    """Run an operation on plain arrays, and write it down."""
    plain, words = _plain(args), {key: _plain(value) for key, value in kwargs.items()}
    shapes = " ".join(filter(None, [shape, *(_shape(each) for each in _arrays(args))]))
    begin = time.perf_counter()
    result = function(*plain, **words)
    seconds = time.perf_counter() - begin
    if _running:
        file, line = _place()
        key = (file, line, name, shapes)
        operation = _running[-1].setdefault(key, Operation(*key))
        operation.count += 1
        operation.seconds += seconds
    return _told(result)


def _plain(value: Any) -> Any:
    if isinstance(value, Told):
        return value.view(np.ndarray)
    if type(value) in (tuple, list):
        return type(value)(map(_plain, value))
    return value


def _told(value: Any) -> Any:
    if type(value) is np.ndarray:
        return value.view(Told)
    if type(value) in (tuple, list):
        return type(value)(map(_told, value))
    return value


def _arrays(values: Any) -> Iterator[Any]:
    for value in values:
        if isinstance(value, np.ndarray):
            yield value
        elif isinstance(value, tuple | list):
            yield from _arrays(value)


def _shape(value: Any) -> str:
    return f"({', '.join(map(str, value.shape))})" if isinstance(value, np.ndarray) else ""


def _place() -> tuple[str, int]:
    """The line, outside of NumPy and of this file, that runs an operation."""
    frame = sys._getframe()
    while frame.f_back and frame.f_code.co_filename.startswith((NUMPY, __file__)):
        frame = frame.f_back
    return frame.f_code.co_filename, frame.f_lineno


# ---- the door


def forms() -> tuple[str, ...]:
    """What can be shown here: the operations of NumPy."""
    return ("numpy",)


@contextmanager
def calls() -> Iterator[list[KernelCall]]:
    """The functions of kernel families that run inside, in order; not those that they call."""
    found: list[KernelCall] = []
    before: list[tuple[ModuleType, str, Any]] = []
    for family in known_families("reference"):
        module = importlib.import_module(f"{__package__}.{family}")
        for name, function in vars(module).items():
            if isinstance(function, FunctionType) and function.__module__ == module.__name__:
                before.append((module, name, function))
    for module, name, function in before:
        if not name.startswith("_"):
            setattr(module, name, _watched(function, found))
    try:
        yield found
    finally:
        for module, name, function in before:
            setattr(module, name, function)


def _watched(function: Callable[..., Any], found: list[KernelCall]) -> Callable[..., Any]:
    @wraps(function)
    def run(*args: Any, **kwargs: Any) -> Any:
        has_arrays = next(_arrays((args, tuple(kwargs.values()))), None) is not None
        if _running or not has_arrays:
            return function(*args, **kwargs)
        operations: dict[tuple[str, int, str, str], Operation] = {}
        _running.append(operations)
        begin = time.perf_counter()
        try:
            words = {key: _told(value) for key, value in kwargs.items()}
            result = function(*_told(args), **words)
        finally:
            _running.pop()
        ms = 1e3 * (time.perf_counter() - begin)
        body = inspect.unwrap(function)
        name, file, line = kernel_place(body)
        detail = f"{sum(each.count for each in operations.values())} array operations"
        key: Key = (body, list(operations.values()))
        found.append(KernelCall(name, _signature(body, args, kwargs), file, line, ms, detail, key))
        return _plain(result)

    return run


def _signature(body: Callable[..., Any], args: Any, kwargs: Any) -> str:
    """The arguments that are arrays, with their shapes and types."""
    given = inspect.signature(body).bind(*args, **kwargs).arguments
    return ", ".join(
        f"{name} {_shape(value)} {value.dtype}"
        for name, value in given.items()
        if isinstance(value, np.ndarray)
    )


def listing(call: KernelCall) -> Listing:
    """The operations of a call, in the order in which they came first."""
    body, operations = call.key
    name, file, first = kernel_place(body)
    rows = tuple(_row(each) for each in operations)
    missing = "" if rows else "NumPy ran no array operation here"
    functions = (Function(name.rpartition(".")[2], 0, len(rows) - 1),) if rows else ()
    form = Form("array operations (NumPy)", rows, functions, (), missing)
    last = last_line(body)
    return Listing("reference", name, call.signature, file, first, last, {"numpy": form})


def _row(operation: Operation) -> Row:
    each = 1e6 * operation.seconds / operation.count
    often = f"{operation.count} times, " if operation.count > 1 else ""
    text = f"{operation.name} {operation.shapes}: {often}{each:.1f} us"
    kind = KINDS.get(operation.name, "vector")
    note = NOTES.get(operation.name, ELEMENTWISE if kind == "vector" else "")
    file = file_name(operation.file)
    return Row(text, file, operation.line, kind, -1, note)
