"""EuclideanLoss: differences and the sum of their squares, in one pass of 12 bytes an element.

A thread takes four neighbouring elements at a time, of arrays that are aligned.
"""

from functools import cache
from typing import Any

import numpy as np

from ._array import DeviceArray
from ._compile.jit import inner
from ._compile.words import local
from ._elements import accesses, at_once, each
from ._means import NONE, write_mean


def forward(
    a: DeviceArray, b: DeviceArray, difference: DeviceArray, loss: DeviceArray, divisor: int
) -> None:
    """Write a - b into difference (flat), and the sum of its squares / divisor into loss (1)."""
    together = at_once(a, b, difference)
    terms = -(-a.size // together)
    write_mean(_squares(together), terms, (a, b, difference), divisor, loss, None)


def backward(difference: DeviceArray, dx: DeviceArray, scale: float) -> None:
    """Write scale * difference into dx (flat)."""
    each(_scaled, (float(scale),), dx.reshape(1, 1, -1), difference)


@cache
def _squares(together: int) -> Any:
    load, store = accesses(together)

    @inner
    def squares(i: int, args: Any) -> Any:
        a, b, difference = args
        first = together * i
        of_a, of_b = local(together), local(together)
        load(a, first, of_a)
        load(b, first, of_b)
        total = np.float64(0)
        for k in range(together):
            of_a[k] -= of_b[k]
            total += np.float64(of_a[k]) * np.float64(of_a[k])
        store(difference, first, of_a)
        return total, 1, NONE

    return squares


@inner
def _scaled(difference: float, none: float, c: int, args: Any) -> Any:
    return args[0] * difference
