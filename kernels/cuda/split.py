"""Split: what its readers say is added up, of up to eight readers in a pass.

A thread takes four neighbouring elements of arrays that are aligned: 4 bytes an element are read
for each reader, and 4 written.
"""

from collections.abc import Sequence
from functools import cache
from typing import Any

from ._array import DeviceArray
from ._compile.jit import Kernel, inner, kernel
from ._compile.words import F32, grid, local
from ._elements import accesses, at_once

MOST = 8  # arrays of one launch


def backward(dys: Sequence[DeviceArray], dx: DeviceArray) -> None:
    """Write the sum of the arrays `dys` into dx (all of one shape; dx may be the first)."""
    total = dx.reshape(-1)
    first, *others = (dy.reshape(-1) for dy in dys)
    while True:
        now, others = (first, *others[: MOST - 1]), others[MOST - 1 :]
        together = at_once(*now, total)
        _sum(len(now), together).over(-(-total.size // together))(now, total)
        if not others:
            return
        first = total


@cache
def _sum(count: int, together: int) -> Kernel:
    add = _add(count, together)
    _, store = accesses(together)

    @kernel
    def split_backward(dys: tuple[F32, ...], dx: F32) -> None:
        first = together * grid()
        if first < dx.size:
            sums = local(together)
            add(dys, first, sums)
            store(dx, first, sums)

    return split_backward


@cache
def _add(count: int, together: int) -> Any:
    """`add(arrays, first, sums)`: write the sums of so many arrays' elements from `first` on."""
    load, _ = accesses(together)
    last = count - 1
    add_others: Any = _add(last, together) if last else None

    @inner
    def of_one(arrays: Any, first: int, sums: F32) -> None:
        load(arrays[0], first, sums)

    @inner
    def of_several(arrays: Any, first: int, sums: F32) -> None:
        add_others(arrays, first, sums)
        values = local(together)
        load(arrays[last], first, values)
        for k in range(together):
            sums[k] += values[k]

    return of_several if last else of_one
