"""Split: a thread for each element adds up what its readers say, up to eight of them in a pass."""

from collections.abc import Sequence
from functools import cache
from typing import Any

from ._array import DeviceArray
from ._compile.jit import Kernel, inner, kernel
from ._compile.words import F32, grid

MOST = 8  # arrays of one launch


def backward(dys: Sequence[DeviceArray], dx: DeviceArray) -> None:
    """Write the sum of the arrays `dys` into dx (all of one shape; dx may be the first)."""
    total = dx.reshape(-1)
    first, *others = (dy.reshape(-1) for dy in dys)
    while True:
        now, others = (first, *others[: MOST - 1]), others[MOST - 1 :]
        _sum(len(now)).over(total.size)(now, total)
        if not others:
            return
        first = total


@cache
def _sum(count: int) -> Kernel:
    total = _total(count)

    @kernel
    def split_backward(dys: tuple[F32, ...], dx: F32) -> None:
        i = grid()
        if i < dx.size:
            dx[i] = total(dys, i)

    return split_backward


@cache
def _total(count: int) -> Any:
    """`total(arrays, i)`: the sum of the elements i of so many arrays, from the first on."""
    last = count - 1
    if last == 0:
        return inner(_first)
    before = _total(last)

    @inner
    def total(arrays: Any, i: int) -> Any:
        return before(arrays, i) + arrays[last][i]

    return total


def _first(arrays: Any, i: int) -> Any:
    return arrays[0][i]
