"""Comparisons, choices, and what is done with bits."""

from functools import partial

import numpy as np

from ..instruction import TYPES, Immediate, Instruction
from . import integers
from .lanes import Value
from .operation import Maker, Operation, Plain, always

_COMPARE: dict[str, np.ufunc] = {
    "eq": np.equal,
    "ne": np.not_equal,
    "lt": np.less,
    "le": np.less_equal,
    "gt": np.greater,
    "ge": np.greater_equal,
    "lo": np.less,
    "ls": np.less_equal,
    "hi": np.greater,
    "hs": np.greater_equal,
}
_BOOLEAN: dict[str, np.ufunc] = {
    "and": np.bitwise_and,
    "or": np.bitwise_or,
    "xor": np.bitwise_xor,
}
_TEST: dict[str, Operation] = {
    "finite": np.isfinite,
    "infinite": np.isinf,
    "number": lambda x: ~np.isnan(x),
    "notanumber": np.isnan,
    "normal": lambda x: np.isfinite(x) & (np.abs(x) >= np.finfo(x.dtype).tiny),
    "subnormal": lambda x: (x != 0) & (np.abs(x) < np.finfo(x.dtype).tiny),
}


def comparison(words: tuple[str, ...], dtype: np.dtype) -> Operation | None:
    """The comparison that setp or set names; of a NaN none holds but those that say so."""
    name = next((word for word in words if word.removesuffix("u") in _COMPARE), "")
    if name == "ne" and dtype.kind == "f":
        return lambda a, b: (a < b) | (a > b)
    if name in _COMPARE:
        return _COMPARE[name]
    if name:  # "ltu": also true where one is a NaN
        compare = _COMPARE[name[:-1]]
        return lambda a, b: compare(a, b) | np.isnan(a) | np.isnan(b)
    if "num" in words:
        return lambda a, b: ~(np.isnan(a) | np.isnan(b))
    if "nan" in words:
        return lambda a, b: np.isnan(a) | np.isnan(b)
    return None


def _setp(instruction: Instruction) -> Plain | None:
    compare, kind = comparison(instruction.modifiers, TYPES[instruction.type]), instruction.type
    if compare is None:
        return None
    combine = next((_BOOLEAN[word] for word in instruction.modifiers if word in _BOOLEAN), None)
    if combine is None:
        return Plain(compare, (kind, kind), "pred")
    both = combine
    return Plain(lambda a, b, c: both(compare(a, b), c), (kind, kind, "pred"), "pred")


def _set(instruction: Instruction) -> Plain | None:
    """set.CMP.dtype.stype: ones, or 1.0, where the comparison holds."""
    tested = _setp(instruction)
    if tested is None:
        return None
    into = next(word for word in instruction.modifiers if word in TYPES)
    dtype = TYPES[into]
    true = dtype.type(1) if dtype.kind == "f" else np.array(-1).astype(dtype)[()]
    return Plain(
        lambda *values: np.where(tested.operation(*values), true, dtype.type(0)),
        tested.takes,
        into,
    )


def _selp(instruction: Instruction) -> Plain:
    kind = instruction.type
    return Plain(lambda a, b, p: np.where(p, a, b), (kind, kind, "pred"), kind)


def _slct(instruction: Instruction) -> Plain:
    into = next(word for word in instruction.modifiers if word in TYPES)
    return Plain(lambda a, b, c: np.where(c >= 0, a, b), (into, into, instruction.type), into)


def _shift(operation: Operation, ufunc: np.ufunc, instruction: Instruction) -> Plain:
    kind, count = instruction.type, instruction.operands[2]
    if isinstance(count, Immediate) and 0 <= count.bits < 8 * TYPES[kind].itemsize:
        dtype = TYPES[kind]
        return Plain(lambda a, n: ufunc(a, n.astype(dtype)), (kind, "u32"), kind)
    return Plain(operation, (kind, "u32"), kind)


def _funnel(instruction: Instruction) -> Plain:
    left, wrap = instruction.has("l"), instruction.has("wrap")
    return Plain(partial(integers.funnel_shift, left=left, wrap=wrap), ("b32", "b32", "u32"), "b32")


def _permute(instruction: Instruction) -> Plain:
    mode = next((word for word in instruction.modifiers if word in integers.PERMUTES), "")
    if not mode:
        return Plain(integers.permute, ("b32", "b32", "b32"), "b32")
    table = np.array(integers.PERMUTES[mode], np.uint32)
    return Plain(
        lambda a, b, c: integers.permute(a, b, table[c & np.uint32(3)]), ("b32",) * 3, "b32"
    )


def _logic(instruction: Instruction) -> Plain | None:
    table = instruction.operands[4] if len(instruction.operands) == 5 else None
    if not isinstance(table, Immediate):
        return None
    bits = table.bits
    return Plain(
        lambda a, b, c, _: integers.logic(a, b, c, bits), ("b32", "b32", "b32", "u32"), "b32"
    )


def _find(instruction: Instruction) -> Plain:
    kind = instruction.type
    if not instruction.has("shiftamt"):
        return Plain(integers.highest_bit, (kind,), "u32")
    top = np.uint32(8 * TYPES[kind].itemsize - 1)
    return Plain(lambda a: _unless_none(integers.highest_bit(a), top), (kind,), "u32")


def _unless_none(place: Value, top: np.uint32) -> Value:
    return np.where(place == np.uint32(0xFFFFFFFF), place, top - place)


def _leading_zeros(instruction: Instruction) -> Plain:
    width = np.uint32(8 * TYPES[instruction.type].itemsize)
    unsigned = f"u{instruction.type[1:]}"
    return Plain(lambda a: width - np.uint32(1) - integers.highest_bit(a), (unsigned,), "u32")


def _field(operation: Operation, takes: int, instruction: Instruction) -> Plain:
    kind = instruction.type
    return Plain(operation, (kind,) * takes + ("u32", "u32"), kind)


def _test(instruction: Instruction) -> Plain | None:
    test = next((_TEST[word] for word in instruction.modifiers if word in _TEST), None)
    return Plain(test, (instruction.type,), "pred") if test else None


MAKERS: dict[str, Maker] = {
    "and": always(np.bitwise_and),
    "or": always(np.bitwise_or),
    "xor": always(np.bitwise_xor),
    "not": always(np.invert),
    "cnot": always(lambda a: (a == 0).astype(a.dtype)),
    "shl": partial(_shift, integers.shift_left, np.left_shift),
    "shr": partial(_shift, integers.shift_right, np.right_shift),
    "shf": _funnel,
    "prmt": _permute,
    "lop3": _logic,
    "bfi": partial(_field, integers.insert_field, 2),
    "bfe": partial(_field, integers.extract_field, 1),
    "bfind": _find,
    "clz": _leading_zeros,
    "popc": lambda each: Plain(
        lambda a: np.bitwise_count(a).astype(np.uint32), (each.type,), "u32"
    ),
    "brev": always(integers.reverse_bits),
    "setp": _setp,
    "set": _set,
    "selp": _selp,
    "slct": _slct,
    "testp": _test,
}
