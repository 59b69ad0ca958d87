"""Loans: who may still write into an array, and how long what was made of its values stays true.

Who prepares something from a parameter's values (packed filters, say) wants to know whether they
are the same the next time. Whoever changes them asks for the array first, and that is a change. But
in Python the array that was asked for can be kept, and written into at any later time:

    weights = net.params["conv1"][0].data
    net.forward()
    weights *= 2                            # nobody is asked
    net.forward()

So each request gets an ndarray over a `Loan`, which that array and all that is cut from it keep
alive. A weak reference tells when it is gone: as long as it lives nothing is known of the values,
and its end is one more change. It costs some microseconds a request, and nothing where values are
only read.
"""

from __future__ import annotations

import math
import weakref
from itertools import count
from typing import Any

import numpy as np
from numpy.typing import NDArray

_versions = count()  # no two changes, of whatever arrays, have the same number


class Loan:
    """Memory of which NumPy makes an array, that refers to this object and not to the buffer."""

    __slots__ = ("__array_interface__", "__weakref__", "buffer")

    def __init__(self, buffer: NDArray[np.float32], start: int, shape: tuple[int, ...]) -> None:
        interface = buffer.__array_interface__
        address = interface["data"][0] + 4 * start
        self.buffer = buffer  # which has to live as long
        self.__array_interface__ = {**interface, "shape": shape, "data": (address, False)}


class Loans:
    """The host arrays of one flat buffer that are lent for writing, and the buffer's version."""

    def __init__(self) -> None:
        self.version = next(_versions)
        self._lent: dict[int, tuple[weakref.ref[Any], int, int]] = {}  # with its floats from, to

    def changed(self) -> None:
        """Somebody writes, or has written."""
        self.version = next(_versions)

    def lend(
        self, flat: NDArray[np.float32], start: int, shape: tuple[int, ...]
    ) -> NDArray[np.float32]:
        """An array of the buffer's floats from `start` on, to write into as long as it lives."""
        loan = Loan(flat, start, shape)
        key = id(loan)

        def returned(_: Any) -> None:
            del self._lent[key]
            self.changed()

        self._lent[key] = weakref.ref(loan, returned), start, start + math.prod(shape)
        self.changed()
        return np.asarray(loan)

    @property
    def any(self) -> bool:
        """Whether somebody can write somewhere without asking."""
        return bool(self._lent)

    def known(self, start: int, stop: int) -> bool:
        """Whether nobody can write into these floats without asking."""
        lent = list(self._lent.values()) if self._lent else ()
        return all(stop <= first or last <= start for _, first, last in lent)
