"""Updates of parameters by a solver's rule (`kernels/_update_rules.py` tells what a rule is).

The rule stands in the solver's own file and is compiled into a kernel when it is first used; one
launch updates the whole flat buffer, and moves 16 + 8 n bytes an element, with n sets of history.
"""

from collections.abc import Sequence
from functools import cache
from typing import Any

from .._update_rules import Rule, gradient
from ._array import DeviceArray
from ._compile.jit import Kernel, inner, kernel
from ._compile.words import F32, grid

_gradient = inner(gradient)


def apply(
    rule: Rule,
    data: DeviceArray,
    diff: DeviceArray,
    history: Sequence[DeviceArray],
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
    factors = map(float, (rate, clip, normalizer, decay))
    constants = tuple(map(float, numbers))
    compiled(rule, len(history)).over(data.size)(
        data, diff, tuple(history), constants, *factors, bool(l1)
    )


@cache
def compiled(rule: Rule, sets: int) -> Kernel:
    """The kernel that applies a rule to arrays, with so many sets of history."""
    one = inner(rule)
    load, store = _elements(sets)

    @kernel
    def update(
        data: F32,
        diff: F32,
        history: tuple[F32, ...],
        numbers: tuple[float, ...],
        rate: float,
        clip: float,
        normalizer: float,
        decay: float,
        l1: bool,
    ) -> None:
        i = grid()
        if i < data.size:
            w = data[i]
            g = _gradient(diff[i], w, clip, normalizer, decay, l1)
            after = one(w, g, rate, *load(history, i), *numbers)
            store(history, i, after)
            diff[i] = after[0]
            data[i] = w - after[0]

    return update


@cache
def _elements(sets: int) -> tuple[Any, Any]:
    """`load(arrays, i)`: a tuple of the elements i of so many arrays; `store(arrays, i, after)`:
    write after[1], after[2] ... there."""
    if sets == 0:
        return inner(_load_nothing), inner(_store_nothing)
    load_others, store_others = _elements(sets - 1)
    last = sets - 1

    @inner
    def load(arrays: Any, i: int) -> Any:
        return load_others(arrays, i) + (arrays[last][i],)  # noqa: RUF005 (Numba adds tuples)

    @inner
    def store(arrays: Any, i: int, after: Any) -> None:
        store_others(arrays, i, after)
        arrays[last][i] = after[sets]

    return load, store


def _load_nothing(arrays: Any, i: int) -> tuple[()]:
    return ()


def _store_nothing(arrays: Any, i: int, after: Any) -> None:
    pass
