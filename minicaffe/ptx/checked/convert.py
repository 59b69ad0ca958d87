"""cvt: from one type to another."""

from collections.abc import Callable

import numpy as np

from ..instruction import TYPES, Instruction
from .floats import directed, flush, saturate, two_sum
from .lanes import Value

_WHOLE = {"rni": np.rint, "rzi": np.trunc, "rmi": np.floor, "rpi": np.ceil}
_DIRECTED = ("rm", "rp", "rz")


def conversion(instruction: Instruction) -> tuple[str, str, Callable[[Value], Value] | None]:
    """(type of the result, type of the operand, the function; None if it is not known)."""
    words = instruction.modifiers
    if "tf32" in words:
        return "b32", "f32", _to_tf32 if "rna" in words else None
    into, of = (word for word in words if word in TYPES)
    target, source = TYPES[into], TYPES[of]
    if source.kind == target.kind == "f":
        return into, of, _between_floats(words, target, source)
    if source.kind == "f":
        return into, of, lambda x: _to_integer(words, _flushed(x, words), target)
    if target.kind == "f":
        return into, of, _from_integer(words, target, source)
    if "sat" in words:
        return into, of, lambda x: _clipped(x, target)
    return into, of, lambda x: x.astype(target)


def _flushed(x: Value, words: tuple[str, ...]) -> Value:
    return flush(x) if "ftz" in words and x.dtype == np.float32 else x


def _between_floats(
    words: tuple[str, ...], target: np.dtype, source: np.dtype
) -> Callable[[Value], Value]:
    whole = next((_WHOLE[word] for word in words if word in _WHOLE), None)
    way = next((word for word in words if word in _DIRECTED), None)

    def convert(x: Value) -> Value:
        x = _flushed(x, words)
        x = whole(x) if whole else x
        if way and target.itemsize < source.itemsize:
            x = directed(x.astype(np.float64), np.zeros(1), way, target)
        else:
            x = x.astype(target)
        x = saturate(x) if "sat" in words else x
        return _flushed(x, words)

    return convert


def _to_integer(words: tuple[str, ...], x: Value, target: np.dtype) -> Value:
    """Numbers beyond the range become its end, a NaN 0."""
    whole = next((_WHOLE[word] for word in words if word in _WHOLE), np.trunc)
    wide = whole(x.astype(np.float64))
    limits = np.iinfo(target)
    inside = (wide > float(limits.min)) & (wide < float(limits.max))
    result = np.where(inside, wide, 0.0).astype(target)
    ends = np.where(wide >= float(limits.max), target.type(limits.max), target.type(limits.min))
    return np.where(inside, result, np.where(np.isnan(wide), target.type(0), ends))


def _from_integer(
    words: tuple[str, ...], target: np.dtype, source: np.dtype
) -> Callable[[Value], Value]:
    way = next((word for word in words if word in _DIRECTED), None)
    if way is None:
        finish = saturate if "sat" in words else (lambda x: x)
        return lambda x: finish(x.astype(target))
    return lambda x: directed(*_as_sum(x), way, target)


def _as_sum(x: Value) -> tuple[Value, Value]:
    """Two float64 that are together exactly a whole number."""
    half = x.dtype.type(4 * x.dtype.itemsize)
    high, one = x >> half, x.dtype.type(1)
    low = x & ((one << half) - one)
    return two_sum(np.ldexp(high.astype(np.float64), int(half)), low.astype(np.float64))


def _clipped(x: Value, target: np.dtype) -> Value:
    mine, theirs = np.iinfo(x.dtype), np.iinfo(target)
    low, high = max(mine.min, theirs.min), min(mine.max, theirs.max)
    return np.clip(x, x.dtype.type(low), x.dtype.type(high)).astype(target)


def _to_tf32(x: Value) -> Value:
    """10 bits of the mantissa are kept: to nearest, ties away from zero."""
    bits = x.view(np.uint32)
    rounded = (bits + np.uint32(0x1000)) & np.uint32(0xFFFFE000)
    special = bits & np.uint32(0x7F800000) == np.uint32(0x7F800000)
    return np.where(special, bits, rounded)
