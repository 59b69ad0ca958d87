"""What the cases of a family are made of, and how a device is compared with `reference`.

A file cases/<family>.py has a list `CASES`. Each case names a function and its arguments; arrays
that are written are arguments like the others. After the call every array must hold what it holds
on `reference`, whether it is read or written, and the function must return what it returns there.
An argument that each device makes for itself, a plan or its scratch, is an `Own`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from importlib import import_module
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from minicaffe.device import load_kernel

CASES = Path(__file__).parent / "cases"
Array = np.ndarray[Any, Any]

_rng = np.random.default_rng(1701)


class Case:
    """A call: `Case("forward", x, y, 0.5)`, and how far numbers may be apart."""

    def __init__(self, function: str, *args: Any, rtol: float = 1e-5, atol: float = 1e-6) -> None:
        self.function, self.args = function, args
        self.rtol, self.atol = rtol, atol

    def __str__(self) -> str:
        return f"{self.function}({', '.join(map(_shown, self.args))})"


class Own:
    """An argument that a device's family makes, and that is not compared: `make(family)`."""

    def __init__(self, make: Callable[[Any], Any], shown: str) -> None:
        self.make, self.shown = make, shown

    def __str__(self) -> str:
        return self.shown


def made(args: Any, family: Any) -> Any:
    """The arguments of a call, with what the family of a device makes among them."""
    return type(args)(arg.make(family) if isinstance(arg, Own) else arg for arg in args)


def _shown(arg: Any) -> str:
    if isinstance(arg, np.ndarray):
        return "x".join(map(str, arg.shape)) or "scalar"
    if isinstance(arg, list | tuple):
        return f"({' '.join(map(_shown, arg))})"
    return arg.__qualname__ if callable(arg) else str(arg)


def normal(*shape: int) -> Array:
    """Normal numbers of float32."""
    return _rng.normal(size=shape).astype(np.float32)


def positive(*shape: int) -> Array:
    """Numbers from 0.1 to 2."""
    return _rng.uniform(0.1, 2, shape).astype(np.float32)


def integers(stop: int, *shape: int, dtype: str = "int32") -> Array:
    """Integers from 0 to stop - 1; as float32 they are labels."""
    return _rng.integers(0, stop, shape).astype(dtype)


def special(*shape: int) -> Array:
    """Normal numbers, and among them NaN, infinities and both zeros."""
    x = normal(*shape)
    x.reshape(-1)[:5] = [np.nan, np.inf, -np.inf, 0.0, -0.0]
    return x


def cases_of(family: str) -> list[Case]:
    """The cases of a family."""
    cases: list[Case] = import_module(f"tests.kernels.cuda.cases.{family}").CASES
    return cases


def all_cases() -> Iterator[Any]:
    """Every case of every family, as pytest's parameters (family, case)."""
    for path in sorted(CASES.glob("*.py")):
        for number, case in enumerate(cases_of(path.stem)):
            yield pytest.param(path.stem, case, id=f"{path.stem}.{number}-{case}")


def compare(family: str, case: Case, device: str) -> None:
    """Call the function on `reference` and on a device, and compare all that they leave."""
    expected, there = copies(case.args), copies(case.args)
    reference, other = load_kernel(family, "reference"), load_kernel(family, device)
    result = getattr(reference, case.function)(*made(expected, reference))
    memory = load_kernel("memory", device)
    moved: dict[int, Any] = {}
    given, before = upload(made(there, other), device, moved), memory.transfers["down"]
    answer = getattr(other, case.function)(*given)
    assert (result is None) == (answer is None)
    assert answer is not None or memory.transfers["down"] == before, "it waits for the device"
    if result is not None:
        np.testing.assert_allclose(answer, result, rtol=case.rtol, atol=case.atol)
    for want, got in zip(arrays(expected), arrays(there), strict=True):
        memory.download(moved[id(got)], got)
        np.testing.assert_allclose(got, want, rtol=case.rtol, atol=case.atol)


def copies(args: Any, done: dict[int, Any] | None = None) -> Any:
    """The arguments with arrays of their own; what was one array still is one."""
    done = {} if done is None else done
    if isinstance(args, list | tuple):
        return type(args)(copies(each, done) for each in args)
    if isinstance(args, np.ndarray):
        return done.setdefault(id(args), args.copy())
    return args


def arrays(args: Any) -> Iterator[Array]:
    """All arrays among some arguments."""
    if isinstance(args, list | tuple):
        for each in args:
            yield from arrays(each)
    elif isinstance(args, np.ndarray):
        yield args


def upload(args: Any, device: str, moved: dict[int, Any]) -> Any:
    """The arguments with arrays of the device in place of the host's."""
    if isinstance(args, list | tuple):
        return type(args)(upload(each, device, moved) for each in args)
    if not isinstance(args, np.ndarray):
        return args
    if id(args) not in moved:
        memory = load_kernel("memory", device)
        flat = memory.allocate(-(-args.nbytes // 4), device).view(args.dtype.name)
        moved[id(args)] = flat[: args.size].reshape(args.shape)
        memory.upload(args, moved[id(args)])
    return moved[id(args)]
