"""`range` in kernels: counters of 32 bits, and no division to know how long a loop is.

A loop of constant length is a plain one to the optimizer, which unrolls it. Its counter is natural
where the loop begins at a natural number and goes up.
"""

from collections.abc import Callable
from typing import Any

from numba.cuda import cgutils, types
from numba.cuda.core.imputils import RefType, iternext_impl
from numba.cuda.datamodel import models
from numba.cuda.models import register_model
from numba.cuda.typing.templates import signature

from .numbers import I32, IntegerLiteral, common, int32, integers, kind, lower, natural, rule

Type = Any
Value = Any

untracked: Callable[..., Callable[..., Any]] = iternext_impl(RefType.UNTRACKED)


class Range(types.SimpleIterableType):  # type: ignore[misc]
    """`range(start, stop, step)` of 32 bits; `down` where the step is a negative constant."""

    def __init__(self, dtype: Type, down: bool) -> None:
        self.dtype, self.down = dtype, down
        super().__init__(f"range({dtype}, {'down' if down else 'up'})", RangeIterator(self))


class RangeIterator(types.SimpleIteratorType):  # type: ignore[misc]
    """Where a loop over a range is."""

    def __init__(self, of: Range) -> None:
        self.of = of
        super().__init__(f"iterator({of.dtype}, {of.down})", of.dtype)


@register_model(Range)
class RangeModel(models.StructModel):  # type: ignore[misc]
    """Its three numbers."""

    def __init__(self, manager: Any, found: Range) -> None:
        super().__init__(manager, found, [(n, found.dtype) for n in ("start", "stop", "step")])


@register_model(RangeIterator)
class RangeIteratorModel(models.StructModel):  # type: ignore[misc]
    """The next number lies in memory, until the optimizer makes a register of it."""

    def __init__(self, manager: Any, found: RangeIterator) -> None:
        number = found.of.dtype
        members = [("next", types.CPointer(number)), ("stop", number), ("step", number)]
        super().__init__(manager, found, members)


@rule(
    range,
    of=[args for count in (1, 2, 3) for args in integers(count)]
    + [(*args, IntegerLiteral) for args in integers(2)],
)
def _range(*args: Type) -> Any:
    both = common(args)
    if both not in (natural, int32) or not 1 <= len(args) <= 3:
        return None
    step = args[2] if len(args) == 3 else None
    down = isinstance(step, types.IntegerLiteral) and step.literal_value < 0
    kinds = list(map(kind, args))
    rises = kinds[2:] in ([], [natural])
    dtype = natural if rises and (len(args) == 1 or kinds[0] == natural) else int32
    if down:
        kinds[2] = step  # a constant stays one

    def write(context: Any, builder: Any, sig: Any, given: Any) -> Value:
        made = cgutils.create_struct_proxy(sig.return_type)(context, builder)
        made.start = given[0] if len(given) > 1 else I32(0)
        made.stop = given[1] if len(given) > 1 else given[0]
        steps = context.cast(builder, given[2], sig.args[2], int32) if len(given) > 2 else I32(1)
        made.step = steps
        return made._getvalue()

    return signature(Range(dtype, down), *kinds), write


@lower("getiter", Range)
def _start(context: Any, builder: Any, sig: Any, args: Any) -> Value:
    found = cgutils.create_struct_proxy(sig.args[0])(context, builder, value=args[0])
    made = cgutils.create_struct_proxy(sig.return_type)(context, builder)
    made.next = cgutils.alloca_once_value(builder, found.start)
    made.stop, made.step = found.stop, found.step
    return made._getvalue()


@lower("iternext", RangeIterator)
@untracked
def _next(context: Any, builder: Any, sig: Any, args: Any, result: Any) -> None:
    loop = cgutils.create_struct_proxy(sig.args[0])(context, builder, value=args[0])
    number = builder.load(loop.next)
    valid = builder.icmp_signed(">" if sig.args[0].of.down else "<", number, loop.stop)
    result.set_valid(valid)
    with builder.if_then(valid):
        result.yield_(number)
        builder.store(builder.add(number, loop.step, flags=["nsw"]), loop.next)
