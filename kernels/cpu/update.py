"""Updates of parameters by a solver's rule (`kernels/_update_rules.py` tells what a rule is).

A rule is compiled when it is first used, and kept on disk like all kernels; the pass over the
arrays moves 16 + 8 n bytes an element, with n sets of history.
"""

from collections.abc import Sequence
from functools import cache
from types import FunctionType
from typing import Any

import numpy as np
from numba import prange
from numpy.typing import NDArray

from .._update_rules import Rule, gradient
from ._compile.jit import Kernel, inner, kernel

F32 = NDArray[np.float32]
F = np.float32

_gradient = inner(strict=True)(gradient)


def apply(
    rule: Rule,
    data: F32,
    diff: F32,
    history: Sequence[F32],
    numbers: Sequence[float],
    rate: float,
    clip: float,
    normalizer: float,
    decay: float,
    l1: bool,
) -> None:
    """Update weights (data) and history; diff enters as the gradient and leaves as the update.

    All arrays are flat and equally long. The gradient is clipped, normalised and regularised first.
    """
    compiled(rule, len(history))(
        data,
        diff,
        tuple(history),
        tuple(map(F, numbers)),
        F(rate),
        F(clip),
        F(normalizer),
        F(decay),
        l1,
    )


@cache
def compiled(rule: Rule, sets: int) -> Kernel[Any]:
    """The kernel that applies a rule to arrays, with so many sets of history."""
    one = inner(strict=True)(_in_float32(rule))
    load, store = _elements(sets)

    @kernel(strict=True)
    def update(
        data: F32,
        diff: F32,
        history: tuple[F32, ...],
        numbers: tuple[np.float32, ...],
        rate: np.float32,
        clip: np.float32,
        normalizer: np.float32,
        decay: np.float32,
        l1: bool,
    ) -> None:
        for i in prange(data.size):
            w = data[i]
            g = _gradient(diff[i], w, clip, normalizer, decay, l1)
            after = one(w, g, rate, *load(history, i), *numbers)
            store(history, i, after)
            diff[i] = after[0]
            data[i] = w - after[0]

    return update


def _in_float32(rule: Rule) -> FunctionType:
    """The rule with its written numbers as float32: beside a float32, NumPy takes them as such."""
    assert isinstance(rule, FunctionType)
    code = rule.__code__
    constants = tuple(F(c) if type(c) in (int, float) else c for c in code.co_consts)
    code = code.replace(co_consts=constants)
    made = FunctionType(code, rule.__globals__, rule.__name__, None, rule.__closure__)
    made.__module__, made.__qualname__ = rule.__module__, rule.__qualname__
    return made


@cache
def _elements(sets: int) -> tuple[Any, Any]:
    """`load(arrays, i)`: a tuple of the elements i of so many arrays; `store(arrays, i, after)`:
    write after[1], after[2] ... there."""
    if sets == 0:
        return inner(_load_nothing), inner(_store_nothing)
    load_others, store_others = _elements(sets - 1)
    last = sets - 1

    @inner
    def load(arrays: tuple[F32, ...], i: int) -> Any:
        return load_others(arrays, i) + (arrays[last][i],)  # noqa: RUF005 (Numba adds tuples)

    @inner
    def store(arrays: tuple[F32, ...], i: int, after: tuple[np.float32, ...]) -> None:
        store_others(arrays, i, after)
        arrays[last][i] = after[sets]

    return load, store


def _load_nothing(arrays: tuple[()], i: int) -> tuple[()]:
    return ()


def _store_nothing(arrays: tuple[()], i: int, after: tuple[np.float32, ...]) -> None:
    pass
