"""Instructions of a warp: shuffles, votes, matches, reductions, and the barrier of its threads."""

from collections.abc import Callable

import numpy as np

from ..instruction import Instruction
from .batch import Batch
from .lanes import WARP, Value
from .operands import Operands, Step, unknown

_LANE = np.arange(WARP)
_BIT = np.uint32(1) << np.arange(WARP, dtype=np.uint32)


def as_bits(lanes: Value) -> Value:
    """A row of 32 truths a warp, as one number a warp, in a column."""
    return np.where(lanes, _BIT, np.uint32(0)).sum(1, dtype=np.uint32)[:, None]


def as_rows(batch: Batch, value: Value) -> Value:
    """A value as a row a warp."""
    return batch.whole(value).reshape(-1, WARP)


def members(batch: Batch, mask: Value) -> Value:
    """The member mask that each lane gives, a row a warp.

    Raises EmulatorFault where a lane leaves itself out, or names one that lives and is elsewhere.
    """
    named, here = as_rows(batch, mask), as_rows(batch, batch.mask.lanes)
    if batch.checks:
        alive = as_bits(~as_rows(batch, batch.ended))
        absent = named & (alive & ~as_bits(here))
        for bad, why in (
            (here & (absent != 0), "not all threads of the warp that its mask names are here"),
            (here & (named & _BIT == 0), "its mask leaves out a thread that executes it"),
        ):
            if bad.any():
                lane = int(np.flatnonzero(bad)[0])
                missing = int(absent.reshape(-1)[lane])
                detail = f"lanes {missing:#x} took another way" if missing else ""
                raise batch.fault(f"{_name(batch)}: {why}", lane, detail=detail)
    return named


def _name(batch: Batch) -> str:
    instruction = batch.kernel.instructions[batch.at]
    return ".".join((instruction.opcode, *instruction.modifiers))


def shuffle(operands: Operands, instruction: Instruction) -> Step:
    """shfl.sync: the value of another lane. PTX ISA 9.7.9.6 has the arithmetic of lanes."""
    results = operands.items(instruction.operands[0])
    write = operands.write(results[0], "b32", instruction)
    inside = operands.write(results[1], "pred", instruction) if len(results) > 1 else None
    value, lane_of, clamp, mask = (
        operands.read(operand, kind)
        for operand, kind in zip(
            instruction.operands[1:], ("b32", "u32", "u32", "b32"), strict=True
        )
    )
    mode = next(word for word in instruction.modifiers if word in ("up", "down", "bfly", "idx"))

    def step(batch: Batch) -> None:
        members(batch, mask(batch))
        b = as_rows(batch, lane_of(batch)).astype(np.int64) & 31
        c = as_rows(batch, clamp(batch)).astype(np.int64)
        segment, limit = c >> 8 & 31, c & 31
        first = _LANE & segment
        last = first | (limit & ~segment)
        source = {
            "up": _LANE - b,
            "down": _LANE + b,
            "bfly": _LANE ^ b,
            "idx": first | (b & ~segment),
        }[mode]
        within = source >= last if mode == "up" else source <= last
        source = np.where(within, source, _LANE)
        source = source + np.arange(len(source))[:, None] * WARP
        source = np.broadcast_to(source, (batch.lanes // WARP, WARP)).reshape(-1)
        if batch.checks:
            _check_source(batch, source)
        write(batch, batch.whole(value(batch))[source])
        if inside:
            inside(batch, np.broadcast_to(within, (batch.lanes // WARP, WARP)).reshape(-1))

    return step


def _check_source(batch: Batch, source: np.ndarray) -> None:
    bad = batch.mask.lanes & ~batch.mask.lanes[source]
    if bad.any():
        lane = int(np.flatnonzero(bad)[0])
        raise batch.fault(
            "shuffle from a thread that is not there",
            lane,
            detail=f"lane {int(source[lane]) % WARP} of the warp has ended, or never was",
        )


def vote(operands: Operands, instruction: Instruction) -> Step:
    """vote.sync.ballot, any, all, uni."""
    mode = next(
        (word for word in instruction.modifiers if word in ("ballot", "any", "all", "uni")), ""
    )
    if not mode or not instruction.has("sync"):
        raise unknown(operands.kernel, instruction)
    kind = "b32" if mode == "ballot" else "pred"
    write = operands.write(instruction.operands[0], kind, instruction)
    predicate = operands.read(instruction.operands[1], "pred")
    mask = operands.read(instruction.operands[2], "b32")

    def step(batch: Batch) -> None:
        named, here = members(batch, mask(batch)), as_rows(batch, batch.mask.lanes)
        asked = named & as_bits(here)
        true = asked & as_bits(here & as_rows(batch, predicate(batch)))
        if mode == "ballot":
            result = true
        elif mode == "any":
            result = true != 0
        elif mode == "all":
            result = true == asked
        else:
            result = (true == asked) | (true == 0)
        write(batch, np.ascontiguousarray(np.broadcast_to(result, here.shape)).reshape(-1))

    return step


def active_mask(operands: Operands, instruction: Instruction) -> Step:
    """activemask: the lanes of the warp that are here."""
    write = operands.write(instruction.operands[0], "b32", instruction)

    def step(batch: Batch) -> None:
        write(batch, np.repeat(as_bits(as_rows(batch, batch.mask.lanes)).reshape(-1), WARP))

    return step


def match(operands: Operands, instruction: Instruction) -> Step:
    """match.any and match.all: the members with the same value."""
    kind = instruction.type
    results = operands.items(instruction.operands[0])
    write = operands.write(results[0], "b32", instruction)
    agreed = operands.write(results[1], "pred", instruction) if len(results) > 1 else None
    value = operands.read(instruction.operands[1], kind)
    mask = operands.read(instruction.operands[2], "b32")

    def step(batch: Batch) -> None:
        named, here = members(batch, mask(batch)), as_rows(batch, batch.mask.lanes)
        asked = named & as_bits(here)
        rows = as_rows(batch, value(batch))
        equal = rows[:, :, None] == rows[:, None, :]
        same = asked & np.where(equal, _BIT, np.uint32(0)).sum(2, dtype=np.uint32)
        if instruction.has("all"):
            all_same = same == asked
            same = np.where(all_same, asked, np.uint32(0))
            if agreed:
                agreed(batch, all_same.reshape(-1))
        write(batch, same.reshape(-1))

    return step


_REDUCE: dict[str, tuple[np.ufunc, Callable[[np.dtype], int]]] = {
    "add": (np.add, lambda dtype: 0),
    "min": (np.minimum, lambda dtype: int(np.iinfo(dtype).max)),
    "max": (np.maximum, lambda dtype: int(np.iinfo(dtype).min)),
    "and": (np.bitwise_and, lambda dtype: int(np.iinfo(dtype).max)),
    "or": (np.bitwise_or, lambda dtype: 0),
    "xor": (np.bitwise_xor, lambda dtype: 0),
}


def reduce(operands: Operands, instruction: Instruction) -> Step:
    """redux.sync: one operation over the members' values."""
    kind = instruction.type
    name = next((word for word in instruction.modifiers if word in _REDUCE), "")
    if not name or kind not in ("s32", "u32", "b32"):
        raise unknown(operands.kernel, instruction)
    ufunc, neutral_of = _REDUCE[name]
    write = operands.write(instruction.operands[0], kind, instruction)
    value = operands.read(instruction.operands[1], kind)
    mask = operands.read(instruction.operands[2], "b32")

    def step(batch: Batch) -> None:
        named, here = members(batch, mask(batch)), as_rows(batch, batch.mask.lanes)
        rows = as_rows(batch, value(batch))
        asked = (named & as_bits(here))[:, :, None] & _BIT != 0
        neutral = rows.dtype.type(neutral_of(rows.dtype))
        result = ufunc.reduce(np.where(asked, rows[:, None, :], neutral), axis=2, dtype=rows.dtype)
        write(batch, result.reshape(-1))

    return step


def sync(operands: Operands, instruction: Instruction) -> Step:
    """bar.warp.sync."""
    mask = operands.read(instruction.operands[0], "b32")

    def step(batch: Batch) -> None:
        members(batch, mask(batch))
        batch.shared.warp_sync()

    return step


BUILDERS: dict[str, Callable[[Operands, Instruction], Step]] = {
    "shfl": shuffle,
    "vote": vote,
    "activemask": active_mask,
    "match": match,
    "redux": reduce,
}
