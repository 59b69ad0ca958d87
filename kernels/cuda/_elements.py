"""Formulas of one element and of its channel, for arrays (N, C, inner).

A thread takes four neighbouring elements: it loads and stores 128 bits at a time, so that enough is
under way from memory, and divides once to know their channels. Of arrays that do not begin at a
multiple of 16 bytes it takes one.
"""

from functools import cache
from typing import Any

from ._array import DeviceArray
from ._compile.jit import Inner, Kernel, inner, kernel
from ._compile.words import F32, grid, load4, local, store4

FOUR = 4
BYTES = 16  # of four


def each(
    formula: Inner,
    args: tuple[Any, ...],
    y: DeviceArray,
    a: DeviceArray,
    b: DeviceArray | None = None,
    also: DeviceArray | None = None,
) -> None:
    """Write formula(a, b, c, args) into y, and into `also` if it is there (any may be the same).

    The formula is @inner; a and b are an element of each array (b is 0 where there is none), c is
    its channel; args are arrays and numbers.
    """
    _, channels, pixels = y.shape
    flat = [array and array.reshape(-1) for array in (a, b, y, also)]
    together = at_once(*filter(None, flat))
    _each(formula, together).over(-(-y.size // together))(*flat, args, channels, pixels)


def at_once(*arrays: DeviceArray) -> int:
    """How many neighbouring elements of such arrays a thread loads and stores at a time: 4 or 1."""
    return FOUR if all(array.address % BYTES == 0 for array in arrays) else 1


def accesses(together: int) -> tuple[Inner, Inner]:
    """`load(array, first, into)` and `store(array, first, values)`, both @inner: so many elements
    from `first` on, to and from `local(together)`; beyond the end they are 0, and not stored."""
    return (_load4, _store4) if together == FOUR else (_load, _store)


@cache
def _each(formula: Inner, together: int) -> Kernel:
    load, store = accesses(together)

    @kernel
    def elements(a: F32, b: F32, y: F32, also: F32, args: Any, channels: int, pixels: int) -> None:
        first = together * grid()
        if first < y.size:
            of_a, of_b = local(together), local(together)
            load(a, first, of_a)
            if b is not None:
                load(b, first, of_b)
            c, i = first // pixels % channels, first % pixels
            for k in range(together):
                of_a[k] = formula(of_a[k], of_b[k] if b is not None else 0.0, c, args)
                i += 1
                if i == pixels:
                    i = 0
                    c = c + 1 if c + 1 < channels else 0
            store(y, first, of_a)
            if also is not None:
                store(also, first, of_a)

    return elements


@inner
def _load(array: F32, first: int, into: F32) -> None:
    into[0] = array[first]


@inner
def _store(array: F32, first: int, values: F32) -> None:
    array[first] = values[0]


@inner
def _load4(array: F32, first: int, into: F32) -> None:
    if first + FOUR <= array.size:
        into[0], into[1], into[2], into[3] = load4(array, first)
    else:
        for k in range(FOUR):
            into[k] = array[first + k] if first + k < array.size else 0.0


@inner
def _store4(array: F32, first: int, values: F32) -> None:
    if first + FOUR <= array.size:
        store4(array, first, (values[0], values[1], values[2], values[3]))
    else:
        for k in range(FOUR):
            if first + k < array.size:
                array[first + k] = values[k]
