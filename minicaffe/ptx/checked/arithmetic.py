"""Arithmetic: sums, products, quotients, roots, extremes, conversions."""

from functools import partial

import numpy as np

from ..instruction import TYPES, Instruction
from . import approximate, floats, integers
from .convert import conversion
from .lanes import Value
from .operation import Maker, Operation, Plain, always


def _way(instruction: Instruction) -> str:
    return next((word for word in instruction.modifiers if word in ("rm", "rp", "rz")), "")


def _is_float(instruction: Instruction) -> bool:
    return instruction.type in ("f32", "f64")


def _sum(ufunc: np.ufunc, instruction: Instruction) -> Operation | None:
    way, words = _way(instruction), instruction.modifiers
    if instruction.type in ("f16", "") or "cc" in words:
        return None
    if way and ufunc is np.add:
        return lambda a, b: floats.add_directed(a, b, way)
    if way:
        return lambda a, b: floats.add_directed(a, -b, way)
    if "sat" in words and not _is_float(instruction):  # .s32 only
        return lambda a, b: np.clip(ufunc(a.astype(np.int64), b), -(2**31), 2**31 - 1).astype(
            np.int32
        )
    return ufunc


def _mul(instruction: Instruction) -> Operation | Plain | None:
    kind = instruction.type
    if _is_float(instruction):
        way = _way(instruction)
        return (lambda a, b: floats.mul_directed(a, b, way)) if way else np.multiply
    if instruction.has("wide"):
        wide = _wider(kind)
        dtype = TYPES[wide]
        return Plain(lambda a, b: np.multiply(a, b, dtype=dtype), (kind, kind), wide)
    if instruction.has("hi"):
        return integers.multiply_high
    return np.multiply if instruction.has("lo") else None


def _wider(kind: str) -> str:
    return f"{kind[0]}{2 * int(kind[1:])}"


def _mad(instruction: Instruction) -> Operation | Plain | None:
    kind = instruction.type
    if _is_float(instruction):
        way = _way(instruction)
        if not way:
            return floats.fma
        return (lambda a, b, c: floats.fma_directed(a, b, c, way)) if kind == "f32" else None
    if instruction.has("cc") or instruction.has("sat"):
        return None
    if instruction.has("wide"):
        wide = _wider(kind)
        dtype = TYPES[wide]
        return Plain(lambda a, b, c: np.multiply(a, b, dtype=dtype) + c, (kind, kind, wide), wide)
    if instruction.has("hi"):
        return lambda a, b, c: integers.multiply_high(a, b) + c
    return (lambda a, b, c: a * b + c) if instruction.has("lo") else None


def _div(instruction: Instruction) -> Operation | None:
    if not _is_float(instruction):
        return integers.divide
    way = _way(instruction)
    if not way:
        return np.divide  # .approx and .full too
    return (lambda a, b: floats.div_directed(a, b, way)) if instruction.type == "f32" else None


def _root(instruction: Instruction) -> Operation | None:
    way = _way(instruction)
    if not way:
        return np.sqrt
    return (lambda a: floats.sqrt_directed(a, way)) if instruction.type == "f32" else None


def _reciprocal(instruction: Instruction) -> Operation | None:
    if instruction.has("approx") and instruction.type == "f64":
        return lambda a: _upper_half(1.0 / a)
    way, one = _way(instruction), np.ones(1, TYPES[instruction.type])
    if not way:
        return lambda a: one / a
    return (lambda a: floats.div_directed(one, a, way)) if instruction.type == "f32" else None


def _reciprocal_root(instruction: Instruction) -> Operation | None:
    if instruction.type == "f64":
        return lambda a: _upper_half(1.0 / np.sqrt(a))
    return lambda a: (1.0 / np.sqrt(a.astype(np.float64))).astype(np.float32)


def _upper_half(x: Value) -> Value:
    """A GPU gives the upper 32 bits of an approximate float64; subnormal numbers become 0."""
    bits = np.asarray(x).view(np.uint64) & np.uint64(0xFFFFFFFF_00000000)
    values = bits.view(np.float64)
    return np.where(np.abs(values) < 2.0**-1022, np.copysign(0.0, values), values)


def _extreme(number: Operation, of_floats: Operation, instruction: Instruction) -> Operation | None:
    if not _is_float(instruction):
        return number
    if instruction.has("xorsign"):
        return None
    if instruction.has("NaN"):
        return lambda a, b: np.where(np.isnan(a) | np.isnan(b), a + b, of_floats(a, b))
    return of_floats


def _convert(instruction: Instruction) -> Plain | None:
    gives, takes, operation = conversion(instruction)
    return Plain(operation, (takes,), gives) if operation else None


def _sign_of(a: Value, b: Value) -> Value:
    return np.copysign(b, a)


MAKERS: dict[str, Maker] = {
    "add": partial(_sum, np.add),
    "sub": partial(_sum, np.subtract),
    "mul": _mul,
    "mad": _mad,
    "fma": _mad,
    "div": _div,
    "rem": always(integers.remainder),
    "neg": always(np.negative),
    "abs": always(np.abs),
    "min": partial(_extreme, np.minimum, floats.minimum),
    "max": partial(_extreme, np.maximum, floats.maximum),
    "sqrt": _root,
    "rcp": _reciprocal,
    "rsqrt": _reciprocal_root,
    "copysign": always(_sign_of),
    "cvt": _convert,
    "ex2": always(approximate.ex2),
    "lg2": always(approximate.lg2),
    "sin": always(approximate.sin),
    "cos": always(approximate.cos),
    "tanh": always(approximate.tanh),
}
