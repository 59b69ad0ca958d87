"""The types of a kernel's arguments, by names that need no compiler, and how arguments are packed.

    float32[2]   an array of the device with two axes: an address, and an int32 for each axis
    natural      an int that is not negative; int32 if it is
    float32      a float; float64 and uint32 for NumPy's
    bool, none   none is an address that nothing reads
    (a, b)       a tuple, one after the other

All lie at multiples of their size, as CUDA has it.
"""

import re
import struct
from collections.abc import Iterator
from functools import cache
from typing import Any

import numpy as np

from .._array import DeviceArray

LIMIT = 2**31
CODES = {
    "natural": "i", "int32": "i", "uint32": "I", "float32": "f", "float64": "d", "bool": "?",
    "none": "P",
}  # fmt: skip


def type_of(value: Any) -> str:
    """The name of an argument's type. Raises TypeError for what no kernel takes."""
    kind = type(value)
    if kind is DeviceArray:
        return str(value.kind)
    if kind is bool or kind is np.bool_:
        return "bool"
    if kind is np.uint32:
        return "uint32"
    if kind is int or isinstance(value, np.integer):
        if not -LIMIT <= value < LIMIT:
            raise TypeError(f"{value} is no number of 32 bits")
        return "natural" if value >= 0 else "int32"
    if kind is float or kind is np.float32:
        return "float32"
    if kind is np.float64:
        return "float64"
    if value is None:
        return "none"
    if isinstance(value, tuple):
        return f"({', '.join(map(type_of, value))})"
    if isinstance(value, np.ndarray):
        raise TypeError("an array of the host: kernels take those of the device")
    raise TypeError(f"a {kind.__name__}: kernels take arrays of the device, numbers and tuples")


@cache
def packing(types: tuple[str, ...]) -> struct.Struct:
    """How arguments of some types lie in the block that a kernel reads."""
    return struct.Struct("@" + "".join(map(_code, types)))


def _code(name: str) -> str:
    if name.startswith("("):
        return "".join(map(_code, _parts(name)))
    array = re.fullmatch(r"\w+\[(\d+)\]", name)
    return "P" + "i" * int(array[1]) if array else CODES[name]


def _parts(name: str) -> list[str]:
    """The names in a tuple's, which may hold tuples."""
    found, depth, begin = [], 0, 1
    for at, letter in enumerate(name):
        depth += (letter == "(") - (letter == ")")
        if (letter == "," and depth == 1) or (depth == 0 and at > begin):
            found.append(name[begin:at].strip())
            begin = at + 1
    return found


def flat(values: tuple[Any, ...]) -> Iterator[Any]:
    """The numbers of some arguments, in order."""
    for value in values:
        if type(value) is DeviceArray:
            yield value.address
            yield from value.shape
        elif isinstance(value, tuple):
            yield from flat(value)
        else:
            yield 0 if value is None else value


def numba_types(names: tuple[str, ...]) -> tuple[Any, ...]:
    """The compiler's types for some names."""
    from numba.cuda import types

    from .arrays import Array
    from .numbers import natural

    def one(name: str) -> Any:
        if name.startswith("("):
            return types.BaseTuple.from_types(tuple(map(one, _parts(name))))
        array = re.fullmatch(r"(\w+)\[(\d+)\]", name)
        if array:
            return Array(getattr(types, array[1]), int(array[2]))
        own = {"natural": natural, "bool": types.boolean, "none": types.none}
        return own[name] if name in own else getattr(types, name)

    return tuple(map(one, names))
