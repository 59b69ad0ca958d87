"""Tracing: which functions of kernel families a layer calls, with what, and which kernels ran.

A layer keeps its kernels as modules (`ops`, what `ops_of` gives) and as functions that it took out
of them in setup. While it is traced, each of these is replaced by a proxy that writes calls down.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext, suppress
from functools import partial
from inspect import signature, unwrap
from types import FunctionType, ModuleType
from typing import Any, NamedTuple

from ..device import folder, synchronize
from ..door import open_module
from ..errors import DeviceError
from .facts import KernelCall, Listing
from .net_facts import Pass
from .sources import Code, code_of

KERNELS = "minicaffe.kernels."
LONGEST = 100  # characters of an argument


class Door:
    """What a device can tell of its kernels (`kernels/<device>/_inspect.py`); maybe nothing."""

    def __init__(self, device: str) -> None:
        self.device = device
        self._module: Any = None
        with suppress(ModuleNotFoundError):
            self._module = open_module(f"{KERNELS}{folder(device)}._inspect", DeviceError)

    def calls(self) -> AbstractContextManager[Sequence[KernelCall]]:
        """Watch the kernels; the list that is given fills as they run."""
        empty: Sequence[KernelCall] = ()
        return self._module.calls() if self._module else nullcontext(empty)

    def listing(self, call: KernelCall) -> Listing:
        """A kernel's code."""
        listing: Listing = self._module.listing(call)
        return listing

    @property
    def missing(self) -> str:
        """Why there are no kernels to see, "" where there are."""
        name = folder(self.device)
        return "" if self._module else f"kernels/{name}/ has no _inspect.py: no kernels are seen"


class Traced(NamedTuple):
    """A call of a family's function."""

    pass_: Pass
    device: str
    family: str
    function: str
    code: Code
    arguments: tuple[str, ...]
    ms: float
    kernels: tuple[KernelCall, ...]


class Tracer:
    """Writes down what the layers of one device call, in `calls`."""

    def __init__(self, device: str) -> None:
        self.device = device
        self.door = Door(device)
        self.calls: list[Traced] = []
        self._inside = False

    def taken(self) -> list[Traced]:
        """The calls since this was asked last."""
        found, self.calls = self.calls, []
        return found

    @contextmanager
    def traced(self, owner: Any, pass_: Pass, watch: bool = True) -> Iterator[None]:
        """Write down the calls of a layer, or of a fused group, to kernels that it keeps.

        To watch the kernels takes time that counts as the functions': without, it is their own.
        """
        kept = {name: proxy for name, value in vars(owner).items()
                if (proxy := self._proxy(value, pass_)) is not None}  # fmt: skip
        before = {name: vars(owner)[name] for name in kept}
        vars(owner).update(kept)
        find = getattr(owner, "ops_of", None)
        if find is not None:
            owner.ops_of = lambda family: Proxy(self, find(family), pass_)
        try:
            with self.door.calls() if watch else nullcontext(()) as self._kernels:
                yield
        finally:
            vars(owner).update(before)
            if find is not None:
                del owner.ops_of

    def _proxy(self, value: Any, pass_: Pass) -> Any:
        name = value.__name__ if isinstance(value, ModuleType) else getattr(value, "__module__", "")
        if not isinstance(name, str) or not name.startswith(KERNELS):
            return None
        if isinstance(value, ModuleType):
            return Proxy(self, value, pass_)
        function = isinstance(value, FunctionType) or hasattr(value, "__wrapped__")
        return self.wrapped(value, name, pass_) if function else None

    def wrapped(self, function: Callable[..., Any], module: str, pass_: Pass) -> Any:
        """A function that does the same, and is written down."""
        return partial(self._call, function, module.split(".")[3], pass_)

    def _call(
        self, function: Callable[..., Any], family: str, pass_: Pass, *args: Any, **kwargs: Any
    ) -> Any:
        if self._inside:  # one family's function calls another's by way of a layer's callback
            return function(*args, **kwargs)
        function = _watched(function)
        told = arguments(function, args, kwargs)
        before = len(self._kernels)
        self._inside = True
        try:
            synchronize(self.device)
            start = time.perf_counter()
            result = function(*args, **kwargs)
            synchronize(self.device)
            ms = 1000 * (time.perf_counter() - start)
        finally:
            self._inside = False
        kernels = tuple(self._kernels[before:])
        name = getattr(function, "__name__", str(function))
        where = code_of(function)
        self.calls.append(Traced(pass_, self.device, family, name, where, told, ms, kernels))
        return result


def _watched(function: Callable[..., Any]) -> Callable[..., Any]:
    """What a module has in a function's place while its device's door watches: layers took it out
    of the module before."""
    module = sys.modules.get(getattr(function, "__module__", ""))
    now = getattr(module, getattr(function, "__name__", ""), None)
    return now if now is not None and unwrap(now) is unwrap(function) else function


def with_times(watched: list[Traced], timed: Sequence[Traced]) -> list[Traced]:
    """Calls that were watched, with the times of the same calls when nobody looked."""
    if [call.function for call in watched] != [call.function for call in timed]:
        return watched
    return [call._replace(ms=same.ms) for call, same in zip(watched, timed, strict=True)]


class Proxy:
    """Stands for a kernel family's module: its functions are written down, all else is its own."""

    def __init__(self, tracer: Tracer, module: ModuleType, pass_: Pass) -> None:
        self._tracer, self._module, self._pass = tracer, module, pass_

    def __getattr__(self, name: str) -> Any:
        value = getattr(self._module, name)
        if not callable(value) or isinstance(value, type):
            return value
        return self._tracer.wrapped(value, self._module.__name__, self._pass)


def arguments(
    function: Callable[..., Any], args: Sequence[Any], kwargs: dict[str, Any]
) -> tuple[str, ...]:
    """Arguments by name, arrays by shape and type: "x (64, 20, 24, 24) float32", "slope 0.1"."""
    try:
        given = signature(function).bind(*args, **kwargs).arguments
    except (TypeError, ValueError):  # no signature, or the call is about to fail
        given = {str(at): value for at, value in enumerate(args)} | kwargs
    return tuple(f"{name} {_shown(value)}" for name, value in given.items())


def _shown(value: Any) -> str:
    if hasattr(value, "shape") and hasattr(value, "dtype"):
        shape = tuple(int(extent) for extent in value.shape)
        return f"{shape} {value.dtype}"
    if type(value) in (list, tuple):
        inner = ", ".join(map(_shown, value))
        text = f"[{inner}]" if isinstance(value, list) else f"({inner})"
    elif callable(value):
        text = getattr(value, "__name__", type(value).__name__)
    else:
        text = f"{value:g}" if isinstance(value, float) else str(value)
    return text if len(text) <= LONGEST else f"{text[: LONGEST - 3]}..."
